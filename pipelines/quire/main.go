// Command quire is all of quire's commands in one program.
//
//	go run ./pipelines/quire run
package main

import "github.com/quire-ml/quire/pipelines/app"

func main() { app.Main() }
