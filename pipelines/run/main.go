// Command run takes a corpus all the way to a model that writes text: prep, train,
// evaluate, gate, promote, a sample.
//
//	go run ./pipelines/run --config shakespeare
package main

import "github.com/quire-ml/quire/pipelines/internal/command"

func main() { command.Main(command.Run) }
