// Command quire is all of quire's commands in one program.
//
//	go run ./pipelines/quire run
package main

import "github.com/quire-ml/quire/pipelines/internal/command"

func main() { command.Main(command.Quire) }
