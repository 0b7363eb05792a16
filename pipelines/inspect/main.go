// Command inspect describes a checkpoint, a run, a set or a shard.
//
//	go run ./pipelines/inspect work/shakespeare/set
package main

import "github.com/quire-ml/quire/pipelines/internal/command"

func main() { command.Main(command.Inspect) }
