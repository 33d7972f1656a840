#!/usr/bin/env bash
# Starts Ray on a node, in a Python environment of its own where open-source Spark and RayDP work as they do elsewhere.
# An init script of a Databricks cluster, which sets DB_IS_DRIVER and DB_DRIVER_IP; a bare machine runs it with the same set.
set -euo pipefail
environment=${CAPTIONLAKE_ENVIRONMENT:-/local_disk0/captionlake-ray}
port=${CAPTIONLAKE_RAY_PORT:-6385}
python=/databricks/python3/bin/python
[ -x "$python" ] || python=python3
is_driver=${DB_IS_DRIVER:-FALSE}
unset SPARK_HOME PYTHONPATH PYSPARK_PYTHON  # Databricks' Spark is not RayDP's

# An open Ray runs the code of anyone who can reach it. One machine makes its own token; several need the same one.
export RAY_AUTH_MODE=token
if [ -z "${RAY_AUTH_TOKEN:-}" ] && [ "$is_driver" != TRUE ]; then
  echo "RAY_AUTH_TOKEN is not set: several machines take one token from a secret scope (see docs/runbook.md)" >&2
  exit 1
fi

if [ ! -x "$environment/bin/ray" ]; then
  folder=${CAPTIONLAKE_WHEELS:?names the folder of the wheel}
  wheel=$(find "$folder" -maxdepth 1 -name 'captionlake-*.whl' | sort --version-sort | tail --lines=1)
  if [ -z "$wheel" ] || [ ! -f "$folder/requirements.lock" ]; then
    echo "no captionlake-*.whl or no requirements.lock in $folder: copy both there first (see docs/runbook.md)" >&2
    exit 1
  fi
  "$python" -m venv "$environment"
  "$environment/bin/python" -m pip install --quiet --constraint "$folder/requirements.lock" "$wheel[standalone]"
  (cd / && "$environment/bin/python" -m lib.lake.delta_jars)
fi

if [ -z "${RAY_AUTH_TOKEN:-}" ]; then
  export RAY_AUTH_TOKEN_PATH=$environment/ray_token  # where lib/training/detached_training.py looks for it
  (umask 077 && head --bytes=32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' > "$RAY_AUTH_TOKEN_PATH")
fi

# Slots, not cores: RayDP's executors wait while workers train (see lib/training/ray_cluster.py).
start=("$environment/bin/ray" start --disable-usage-stats "--num-cpus=$(($(nproc) + 4))")
if [ "$is_driver" = TRUE ]; then
  exec "${start[@]}" --head "--port=$port" --include-dashboard=false
fi
for _ in $(seq 60); do  # the driver may still be installing
  "${start[@]}" "--address=${DB_DRIVER_IP:?is set by Databricks}:$port" && exit 0
  sleep "${CAPTIONLAKE_RETRY_S:-10}"
done
echo "no Ray head answers at $DB_DRIVER_IP:$port" >&2
exit 1
