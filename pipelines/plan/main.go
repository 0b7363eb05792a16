// Command plan says what a round would do, stage by stage, and why.
//
//	go run ./pipelines/plan --config shakespeare --set train.lr=0.002
package main

import "github.com/quire-ml/quire/pipelines/internal/command"

func main() { command.Main(command.Plan) }
