// Command evaluate measures a model on a set.
//
//	go run ./pipelines/evaluate --config shakespeare --which latest
package main

import "github.com/quire-ml/quire/pipelines/internal/command"

func main() { command.Main(command.Evaluate) }
