// Command config prints the resolved config, and explains its keys.
//
//	go run ./pipelines/config explain train.lr
package main

import "github.com/quire-ml/quire/pipelines/internal/command"

func main() { command.Main(command.Config) }
