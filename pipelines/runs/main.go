// Command runs lists, shows and compares the rounds of a workdir.
//
//	go run ./pipelines/runs list --config shakespeare
package main

import "github.com/quire-ml/quire/pipelines/internal/command"

func main() { command.Main(command.Runs) }
