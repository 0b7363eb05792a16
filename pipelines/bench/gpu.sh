#!/usr/bin/env bash
# The first run on a GPU: are its bytes the CPU's, and how fast is it beside PyTorch and JAX?
#
#   pipelines/bench/gpu.sh pack              here: needs Go and xz; writes build/gpu, at most 64 MiB
#   bash build/gpu/gpu.sh run [OUT]          there: needs NVIDIA's driver and xz, neither Go nor a network
#
# run writes what each step printed to the folder OUT (default: gpu-out), prints "bytes equal: yes" or "no" for each case
# first, and one table last. A step whose tool is missing says so: compute-sanitizer, ncu, torch and jax are optional.
# Its exit code is 1 where bytes differ or the GPU cannot be used. Without a GPU it runs the CPU's parts.
# STEPS (20), ROUNDS (3) and BENCH (50) are the steps that are compared, the rounds of the table and the steps of a round.
# CASES are trainings, cell:hidden:embedding (gru:1024:256 lstm:1024:256 gru:512:128 lstm:512:128 gru:256:64 lstm:256:64).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

pack() {
	local out
	cd "$here/../.."
	out=build/gpu
	rm -rf "$out"
	mkdir -p "$out"
	CGO_ENABLED=0 go build -ldflags '-s -w' -o "$out/quire" ./pipelines/quire
	# Each kernel alone, and whole trainings beside the CPU's.
	CGO_ENABLED=0 go test -ldflags '-s -w' -c -o "$out/cuda.test" ./model/cuda
	CGO_ENABLED=0 go test -ldflags '-s -w' -c -o "$out/train.test" ./model/train
	cp "$(go env GOROOT)/src/testdata/Isaac.Newton-Opticks.txt" "$out/opticks.txt"
	xz -T0 -6 "$out"/quire "$out"/*.test "$out/opticks.txt"
	cp "$here/gpu.sh" "$here/compare_gpu.py" "$out/"
	du -ch "$out"/* | tail -8
}

# note TEXT: prints a line, which the report gets too.
note() { printf '%s\n' "$*" | tee -a "$out/report.txt"; }

# logged NAME COMMAND...: runs a command, its output in OUT/NAME.txt, and passes on its exit code.
logged() {
	local name=$1 code=0
	shift
	"$@" >"$out/$name.txt" 2>&1 || code=$?
	return "$code"
}

# train DEVICE CELL HIDDEN EMBEDDING: takes STEPS steps of the tutorial's training and prints the checkpoint's sha256.
train() {
	local run="$work/run-$1-$2-$3"
	"$bin/quire" train --quiet --config tutorial --set workdir="$work" --set corpus.sources="$bin/opticks.txt" --out "$run" \
		--set train.max_steps="$STEPS" --set train.device="$1" --set model.cell="$2" --set model.hidden="$3" --set model.embedding="$4" \
		>"$out/train-$1-$2-$3.txt" 2>&1 || { cat "$out/train-$1-$2-$3.txt" >&2; return 1; }
	sha256sum <"$run/checkpoints/$(printf 'step-%08d.safetensors' "$STEPS")" | cut -d' ' -f1
}

# compared CASE...: trains each case on both devices, and says whether the checkpoints are one file.
compared() {
	local case cell hidden embedding cpu gpu
	"$bin/quire" prep --quiet --config tutorial --set workdir="$work" --set corpus.sources="$bin/opticks.txt" >"$out/prep.txt" 2>&1
	for case in "$@"; do
		IFS=: read -r cell hidden embedding <<<"$case"
		cpu=$(train cpu "$cell" "$hidden" "$embedding")
		if [ "$gpus" = 0 ]; then
			note "cpu alone: $cell $hidden: $STEPS steps: $cpu"
			continue
		fi
		gpu=$(train gpu "$cell" "$hidden" "$embedding") || gpu=failed
		if [ "$cpu" = "$gpu" ]; then
			note "bytes equal: yes: $cell $hidden: $STEPS steps: $cpu"
			continue
		fi
		bad=1
		note "bytes equal: no: $cell $hidden: $STEPS steps: cpu $cpu, gpu $gpu"
		"$bin/quire" inspect --diff "$work/run-cpu-$cell-$hidden" "$work/run-gpu-$cell-$hidden" 2>&1 | head -20 || true
	done
}

# tested: the tests that run on the machine's GPU, the smallest first under compute-sanitizer.
tested() {
	local sanitizer tool
	sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null || true)
	for tool in memcheck racecheck; do
		if [ -z "$sanitizer" ]; then
			note "compute-sanitizer $tool: not here"
		elif QUIRE_GPU=1 logged "$tool" timeout 120 "$sanitizer" --tool "$tool" --error-exitcode 9 "$bin/train.test" -test.run 'GPUHasTheCPUsBytes/^0$'; then
			note "compute-sanitizer $tool: nothing found"
		else
			bad=1
			note "compute-sanitizer $tool: see $out/$tool.txt"
		fi
	done
	if QUIRE_GPU=1 logged kernels "$bin/cuda.test" -test.v -test.run 'GPU|Gemm|Forward|Backward|CrossEntropy|ColumnSum|SegmentSum|Gather|SumSquares|Adam|Dropout|FarRows'; then
		note "bytes equal: yes: each kernel"
	else
		bad=1
		note "bytes equal: no: a kernel: the first that differs:"
		grep -m 3 -B 1 -A 2 -e '--- FAIL' "$out/kernels.txt" || tail -5 "$out/kernels.txt"
	fi
	QUIRE_GPU=1 logged trainings "$bin/train.test" -test.v -test.run GPUHasTheCPUsBytes || bad=1
	grep -o 'bytes equal: .*' "$out/trainings.txt" | tee -a "$out/report.txt" || { bad=1; tail -5 "$out/trainings.txt"; }
}

# profiled: ncu of a forward and a backward step of the tutorial.
profiled() {
	local ncu
	ncu=$(command -v ncu || ls /usr/local/cuda/bin/ncu 2>/dev/null || true)
	if [ -z "$ncu" ]; then
		note "ncu: not here"
	elif logged ncu timeout 120 "$ncu" --graph-profiling node --kernel-name 'regex:gru_(forward|backward)' --launch-skip 150 --launch-count 60 \
		"$bin/quire" bench --device gpu --steps 1 --generate 0; then
		note "ncu: see $out/ncu.txt"
	else
		note "ncu: failed, see $out/ncu.txt"
	fi
}

run() {
	out=${1:-gpu-out}
	: "${STEPS:=20}" "${ROUNDS:=3}" "${BENCH:=50}"
	: "${CASES:=gru:1024:256 lstm:1024:256 gru:512:128 lstm:512:128 gru:256:64 lstm:256:64}"
	bad=0
	mkdir -p "$out"
	out=$(cd "$out" && pwd)
	: >"$out/report.txt"
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	bin=$work/bin
	mkdir "$bin"
	for f in quire cuda.test train.test opticks.txt; do
		xz -dc "$here/$f.xz" >"$bin/$f"
	done
	chmod +x "$bin/quire" "$bin"/*.test
	logged nvidia-smi nvidia-smi || note "nvidia-smi: not here"
	"$bin/quire" version | tee "$out/version.txt"
	gpus=$(grep -c '^device *gpu' "$out/version.txt" || true)
	[ "$gpus" = 0 ] || tested
	# shellcheck disable=SC2086 # a word is a case
	compared $CASES
	if [ "$gpus" = 0 ]; then
		note "no GPU: the CPU's parts alone have run"
		exit 1
	fi
	profiled
	python3 "$here/compare_gpu.py" --quire "$bin/quire" --rounds "$ROUNDS" --steps "$BENCH" --cases $CASES | tee -a "$out/report.txt"
	exit "$bad"
}

case "${1:-}" in
pack) pack ;;
run) run "${2:-}" ;;
*)
	sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
	exit 2
	;;
esac
