// Package app is quire's command line for a program with stages of its own.
//
//	func main() { app.Main(stages...) }
//
// is a program with all commands of quire: run, plan, runs, retrain, sweep and the
// others, with --config, --set, --json, the exit codes and Beam's flags. Its rounds
// have the stages besides the shipped ones, or in place of them: see package round.
// The commands prep and train work on a folder, without a round and its stages.
package app

import (
	"github.com/quire-ml/quire/pipelines/internal/command"
	"github.com/quire-ml/quire/pipelines/round"
)

// Main is the whole program, and ends the process. On a Beam worker it works for
// Beam: register every DoFn in an init function, before Main.
func Main(stages ...round.Stage) { command.MainProgram(stages...) }
