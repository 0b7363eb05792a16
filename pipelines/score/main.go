// Command score measures how well a model predicts a text.
//
//	go run ./pipelines/score --config shakespeare --file sonnet.txt
package main

import "github.com/quire-ml/quire/pipelines/internal/command"

func main() { command.Main(command.Score) }
