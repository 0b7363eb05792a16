package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/cuda"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/export"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/gc"
	"github.com/quire-ml/quire/pipelines/page"
	"github.com/quire-ml/quire/pipelines/promotion"
	"github.com/quire-ml/quire/pipelines/receipt"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/pipelines/score"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/sweep"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/pipelines/web"
	"github.com/quire-ml/quire/runners/memory"
	"github.com/quire-ml/quire/runners/node"
	"github.com/quire-ml/quire/runners/schedule"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/prepare"
)

// remedy returns the advice to append to an error of a package that knows neither
// commands nor keys.
func remedy(err error) string {
	var refused *gate.RefusedError
	var lacks *node.CheckError
	switch {
	case errors.As(err, new(*round.SlotError)):
		return "" // the slot's record has it
	case errors.As(err, &refused):
		advice := gateRemedy(refused.Result)
		if strings.Contains(refused.Error(), "\n") {
			return strings.Replace(advice, "; ", "\n", 1) // it is about all lines
		}
		return advice
	case errors.As(err, new(*node.ExitError)), errors.As(err, &lacks):
		return nodeRemedy(lacks)
	}
	return cmp.Or(argumentRemedy(err), setRemedy(err), exportRemedy(err), watchRemedy(err), deviceRemedy(err), trainRemedy(err), pageRemedy(err),
		sizeRemedy(err), serviceRemedy(err), damageRemedy(err), corpusRemedy(err), textRemedy(err)+see(prepKeys(err)...))
}

// argumentRemedy is remedy for arguments of a command.
func argumentRemedy(err error) string {
	switch {
	case errors.Is(err, gc.ErrNoPolicy):
		return "; use --keep-last 7, --keep-daily, --keep-weekly, --keep-monthly or --keep-within 30d, or the section gc of the config"
	case errors.As(err, new(*web.AddressError)):
		return "; use another --listen: port 0 is a free one"
	case errors.As(err, new(*schedule.FutureError)):
		return "; without --slot the last one runs"
	}
	return ""
}

// setRemedy is remedy for what lies in the directory of a set or a run.
func setRemedy(err error) string {
	switch {
	case errors.As(err, new(*stages.OtherSetError)):
		return "; use another prep.out, or prep --replace to make the set again"
	case errors.As(err, new(*stages.ForeignError)):
		return "; use another prep.out or train.out, or move what is there away"
	}
	return ""
}

// trainRemedy is remedy for a training that cannot begin or go on.
func trainRemedy(err error) string {
	switch {
	case errors.Is(err, stages.ErrCannotGoOn):
		return "; to start from zero, use train --fresh, or delete its directory"
	case errors.As(err, new(*stages.StartError)):
		return "; correct train.from, or use the model section and prep.unit of that checkpoint"
	case errors.Is(err, dataset.ErrDamaged):
		return "; make the set again: prep --replace, or delete its directory"
	case errors.As(err, new(*score.AdaptError)):
		return "; use a smaller --adapt"
	case errors.As(err, new(*train.DivergedError)), errors.Is(err, sweep.ErrDiverged):
		return "; use a smaller train.lr, or train.clip_norm: 1"
	}
	return ""
}

// pageRemedy is remedy for a report that cannot be written.
func pageRemedy(err error) string {
	switch {
	case errors.As(err, new(*page.UnknownError)):
		return "; `runs list` lists the rounds that there are, and without a name report takes the newest"
	case errors.As(err, new(*page.ManyError)):
		return "; use more of the key"
	case errors.As(err, new(*page.OccupiedError)):
		return "; use another --out"
	}
	return ""
}

// exportRemedy is remedy for a folder that an export does not go to.
func exportRemedy(err error) string {
	var foreign *export.ForeignError
	switch {
	case errors.As(err, &foreign) && foreign.Own:
		return "; use another folder"
	case foreign != nil, errors.As(err, new(*export.OtherError)):
		return "; use another folder, or --replace"
	}
	return ""
}

// lostGPU reports whether a GPU has failed. What a driver says of a kernel's fault then
// holds for all further work of the process.
func lostGPU(err error) bool { return errors.As(err, new(*cuda.LostError)) }

// deviceRemedy is remedy for the errors of a GPU.
func deviceRemedy(err error) string {
	switch {
	case errors.As(err, new(*cuda.Unavailable)), errors.As(err, new(*cuda.CompileError)):
		return "; or use train.device cpu, which makes the same bytes"
	case errors.As(err, new(*cuda.MemoryError)):
		return "; or use train.device cpu, which makes the same bytes, or a smaller model.hidden, train.batch or prep.seq_length"
	case errors.As(err, new(*cuda.SizeError)):
		return "; use train.device cpu, which makes the same bytes, or a smaller model.hidden"
	case errors.As(err, new(*cuda.LostError)):
		return "; training goes on from its last checkpoint, with train.device cpu too"
	}
	return ""
}

// sizeRemedy is remedy for what is too large for this machine, and for a text that is too small.
func sizeRemedy(err error) string {
	var few *train.TooFewError
	switch {
	case errors.As(err, new(*memory.ShortError)) && errors.As(err, new(*text.ModelError)):
		return "; use a smaller model, or a larger machine"
	case errors.As(err, new(*memory.ShortError)):
		return "; use a smaller model.hidden, train.batch or prep.seq_length, or a larger machine"
	case errors.As(err, &few) && few.Sequences > 0:
		return fmt.Sprintf("; use a smaller train.batch (%d at most), a smaller prep.seq_length or more text", few.Sequences)
	case few != nil:
		return "; use a smaller prep.seq_length or more text"
	}
	return ""
}

// clusterRemedy is nodeRemedy for a cluster.
func clusterRemedy(e *node.CheckError) string {
	switch e.Reason {
	case node.NoLauncher:
		return "; install kubectl, and let it sign in: kubectl get jobs"
	case node.Unreachable:
		return "; try it by hand: kubectl get jobs"
	case node.Forbidden:
		return "; ask for a role in that namespace that may create, get, list, patch and delete jobs, and get and list pods and pods/log"
	case node.BadTemplate:
		return "; correct the file at node.template; configs/deploy/train-job.yaml is one to begin with"
	case node.NoNamespace:
		return "; correct node.namespace, or create it: kubectl create namespace"
	case node.NotStarted:
		return "; correct what it says in the file at node.template, such as the image or a secret, and start again"
	case node.NoWorkdir:
		return "; mount the workdir there at the same path, in the file at node.template, or use gs://"
	}
	return ""
}

// nodeRemedy is remedy for a node on which stages cannot run; nil: it was at work, and has
// said itself what to do.
func nodeRemedy(e *node.CheckError) string {
	if e == nil {
		return ""
	}
	if strings.HasPrefix(e.Node, configs.KubernetesNode) {
		return clusterRemedy(e)
	}
	try := e.Node + " quire version"
	switch e.Reason {
	case node.NoLauncher:
		return "; install it, or correct node.launch"
	case node.Unreachable:
		return "; try it by hand, without a password: " + try
	case node.Mute:
		return "; node.launch must run what follows it and pass standard input and output on, as docker run does with -i; try: " + try
	case node.NoProgram:
		return "; install this quire there, in the PATH of " + try + ", or use node.binary copy"
	case node.OtherBuild:
		return "; install the same version there, or use node.binary copy; " + try + " says which it is"
	case node.OtherPlatform:
		return "; build the same version for it, install it there, and use node.binary installed"
	case node.NotCopied:
		return "; make room for it in the folder .cache/quire of the user there (XDG_CACHE_HOME), or install this quire there and use node.binary installed"
	case node.Full:
		return "; free space there, and run again"
	case node.NoWorkdir:
		return "; use a workdir that both machines have at the same path, such as a shared folder, or gs://"
	}
	return ""
}

// serviceRemedy is remedy for a model in service that cannot be used.
func serviceRemedy(err error) string {
	var e *promotion.ModelError
	if !errors.As(err, &e) || errors.Is(err, fs.ErrPermission) {
		return ""
	}
	var ways []string
	if e.From != "" {
		ways = append(ways, "make the copy again: promote "+e.From)
	}
	if e.Back {
		ways = append(ways, "go back: promote --rollback")
	}
	if len(ways) == 0 {
		ways = append(ways, "put an intact copy there, or promote another model: promote CHECKPOINT")
	}
	return "; " + strings.Join(ways, ", or ")
}

// damageRemedy is remedy for what a stage has made and is damaged.
func damageRemedy(err error) string {
	var damage *workflow.DamageError
	if errors.As(err, &damage) && damage.Stage != "" {
		return ", or make it again: run --force " + damage.Stage
	}
	return ""
}

// corpusRemedy is remedy for the errors about sources and documents.
func corpusRemedy(err error) string {
	var wrong *corpus.FieldError
	var notText *prepare.TextError
	var form *text.FormError
	switch {
	case errors.As(err, &wrong):
		advice := "; correct corpus." + wrong.Field
		if dir, failed := os.Getwd(); failed == nil && errors.Is(err, corpus.ErrNone) {
			advice += ": a relative path begins where the command was started, " + dir
		}
		return advice
	case errors.As(err, &notText) && notText.Likely != "":
		return "; to read it so: --set corpus.encoding=" + notText.Likely
	case errors.As(err, &form) && form.Likely != "":
		return "; to read it so: --set corpus.encoding=" + form.Likely
	case notText != nil && notText.Binary:
		return ""
	case notText != nil:
		return see(append([]string{"corpus.encoding"}, prepKeys(err)...)...)
	}
	return ""
}

// gateRemedy is remedy for a model that the gate has refused.
func gateRemedy(r *gate.Result) string {
	if k := r.Failed("ancestors"); k != nil && k.Value != nil {
		return "; use another train.from, or none"
	} else if k != nil {
		return "; put the missing set into the folder sets of the workdir, and run --force train," +
			" or use another train.from, or none, or promote it by hand"
	}
	if r.Failed("loss", "gap", "promoted") != nil && r.Drift != nil && r.Drift.Large() {
		return "; the held-out text is unlike the rest: prep.validation.by: block holds out blocks of all of it"
	}
	if r.Failed("loss") != nil {
		return "; train longer, with a larger train.epochs, or learn from more text"
	}
	return ""
}

// textRemedy is remedy for the errors of package text.
func textRemedy(err error) string {
	var model *text.ModelError
	var prompt *text.PromptError
	var ban *text.BanError
	var window *text.WindowError
	switch {
	case errors.Is(err, text.ErrNoSet):
		return "; run prep first, or set prep.out to where one is"
	case errors.Is(err, text.ErrNotContinuous):
		return "; make a set with prep.validation.by tail and prep.stride 0, or use train.hidden zero"
	case errors.As(err, &window):
		return fmt.Sprintf("; use a --window of %d at most, or a set with prep.validation.by tail and prep.stride 0", window.SeqLength)
	case errors.As(err, &prompt):
		advice := "; change generate.prompt, or set it to nothing, or generate.unknown to skip"
		if prompt.Unknown() {
			advice += ", or to unk, which reads such characters as [UNK]"
		}
		return advice
	case errors.As(err, &ban) && ban.Bytes > 0:
		return "; ban single bytes, each by a --ban of its own: --ban $'\\x80'"
	case ban != nil:
		return "; leave out of --ban, or generate.ban, what the model lacks: it is never drawn anyway"
	case errors.Is(err, text.ErrBan):
		return "; see generate.ban"
	case errors.As(err, new(*receipt.MissingError)):
		return "; name the model, a run or a workdir with --checkpoint"
	case !errors.As(err, &model), store.Transient(err):
		return ""
	case errors.Is(err, checkpoint.ErrForeign):
		return "; name a " + checkpoint.Suffix + " file that a training wrote, or the directory of a run"
	case errors.Is(err, gate.ErrRefused):
		return "; put an intact copy there, or promote a model by hand"
	case errors.Is(err, store.ErrNotExist):
		return cmp.Or(workdirRemedy(model.Path), "; train a model first, or name one with --checkpoint")
	case run.IsFile(model.Path):
		return "; use another checkpoint: a file, or the directory of a run"
	case model.Which == run.Latest:
		return "; use another checkpoint: --which best, or a file"
	}
	return "; use another checkpoint: --which latest, or a file"
}

// workdirRemedy names what is in a local workdir, for who gave one in place of a run or set;
// empty: path is no workdir with rounds.
func workdirRemedy(path string) string {
	if store.IsURL(path) {
		return ""
	}
	made, err := round.FindAny(context.Background(), path)
	if err != nil || made == nil {
		return ""
	}
	advice := "; it is a workdir, in which round " + made.Round + " made the set " + made.Set
	if made.Run != "" {
		advice += " and the run " + made.Run
	}
	return advice
}

// prepKeys returns the keys of the fields that an error of transforms speaks of. The
// error may have crossed a Beam engine, so its text is all that is left of it.
func prepKeys(err error) (keys []string) {
	text := err.Error()
	for _, key := range configs.KeysOf("prep") {
		field := strings.TrimPrefix(key, "prep.")
		// A word by itself: no end of another key, such as train.curriculum.seq_length, and no part of a path.
		if strings.ContainsAny(field, "._") && regexp.MustCompile(`(^|[\s(])`+regexp.QuoteMeta(field)+`\b`).MatchString(text) {
			keys = append(keys, key)
		}
	}
	if strings.Contains(text, "pack newline") {
		keys = append(keys, "prep.pack")
	}
	return keys
}

// see points to the explanations of keys.
func see(keys ...string) string {
	if len(keys) == 0 {
		return ""
	}
	return "; see " + strings.Join(keys, ", ")
}
