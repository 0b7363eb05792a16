// Command sweep trains the trials of a config's sweep section.
//
//	go run ./pipelines/sweep --set sweep.train.lr=0.001,0.002,0.004 --runner prism
package main

import "github.com/quire-ml/quire/pipelines/internal/command"

func main() { command.Main(command.Sweep) }
