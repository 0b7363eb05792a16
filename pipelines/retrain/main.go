// Command retrain runs rounds on a schedule.
//
//	go run ./pipelines/retrain --config shakespeare --once
package main

import "github.com/quire-ml/quire/pipelines/internal/command"

func main() { command.Main(command.Retrain) }
