// Command prep turns a corpus into a sharded training set.
//
//	go run ./pipelines/prep --config shakespeare --set prep.shards=8 --runner prism
package main

import "github.com/quire-ml/quire/pipelines/internal/command"

func main() { command.Main(command.Prep) }
