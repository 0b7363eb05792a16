// Command promote changes the model in service by hand.
//
//	go run ./pipelines/promote --config shakespeare --rollback
package main

import "github.com/quire-ml/quire/pipelines/internal/command"

func main() { command.Main(command.Promote) }
