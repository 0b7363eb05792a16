// Command bench measures training and generation on this machine.
//
//	go run ./pipelines/bench --cell lstm --hidden 512
package main

import "github.com/quire-ml/quire/pipelines/internal/command"

func main() { command.Main(command.Bench) }
