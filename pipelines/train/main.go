// Command train trains a model on a set, or goes on with a training.
//
//	go run ./pipelines/train --config shakespeare --set train.epochs=20
package main

import "github.com/quire-ml/quire/pipelines/internal/command"

func main() { command.Main(command.Train) }
