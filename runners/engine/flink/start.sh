#!/bin/bash
# usage: start.sh local            Flink inside a job server: one process
#        start.sh jobmanager       a cluster: these, each in a terminal of its own
#        start.sh taskmanager N    (N = 1, 2, … tells them apart)
#        start.sh jobserver
#
# Runs one process in the foreground, of what fetch.sh has fetched. Environment:
# FLINK_DIR (fetch.sh's), FLINK_RUN (a scratch folder), JOB_PORT (8099),
# ARTIFACT_PORT (8098), REST_PORT (8081), RPC_PORT (6123); of a port 0 the process
# chooses a free one, and logs it. When the job server says that it is "now running":
#
#   go run ./pipelines/prep --runner flink --endpoint localhost:8099
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$("$here/fetch.sh" "${FLINK_DIR:-}" | tail -1)
run=${FLINK_RUN:-$(mktemp -d -t quire-flink-XXXXXX)}
rest=${REST_PORT:-8081}
log="-Dlog4j2.configurationFile=$here/log4j2.properties"
# A killed task manager is missed after 10 s instead of 50.
cluster=(--configDir "$here" -D "rest.port=$rest" -D "rest.bind-port=$rest" -D "jobmanager.rpc.port=${RPC_PORT:-6123}"
  -D heartbeat.interval=1000 -D heartbeat.timeout=10000)

jobserver() { # the address of Flink, or [local]
  # Log4j comes from Flink's folder; Flink itself must not be on this classpath,
  # nor a folder of classes, which would be sent as if it were a jar.
  exec java -Xmx1g "$log" -cp "$dir/jobserver/*:$(ls "$dir"/flink/log4j*.jar | tr '\n' ':')" \
    org.apache.beam.runners.flink.FlinkJobServerDriver --flink-master="$1" --flink-conf-dir="$here" \
    --job-host=localhost --job-port="${JOB_PORT:-8099}" --artifact-port="${ARTIFACT_PORT:-8098}" --expansion-port=0 \
    --artifacts-dir="$run/artifacts"
}

case ${1:-} in
local) jobserver '[local]' ;;
jobserver) jobserver "localhost:$rest" ;;
jobmanager)
  exec java -Xmx512m "$log" -cp "$dir/flink/*" \
    org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint "${cluster[@]}" --executionMode cluster ;;
taskmanager)
  exec java -Xmx512m -XX:MaxDirectMemorySize=768m "$log" -cp "$dir/flink/*" \
    org.apache.flink.runtime.taskexecutor.TaskManagerRunner "${cluster[@]}" \
    -D "taskmanager.resource-id=taskmanager-${2:?number}" -D "io.tmp.dirs=$run/taskmanager-$2" ;;
*)
  sed -n 's/^# \{0,1\}//; 2,6p' "$0" >&2
  exit 2 ;;
esac
