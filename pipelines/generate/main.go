// Command generate writes text with a model.
//
//	go run ./pipelines/generate --config shakespeare --prompt 'ROMEO: '
package main

import "github.com/quire-ml/quire/pipelines/internal/command"

func main() { command.Main(command.Generate) }
