#!/usr/bin/env bash
# Starts Ray on a node, in a Python environment of its own where open-source Spark and RayDP work as they do elsewhere.
# An init script of a Databricks cluster, which sets DB_IS_DRIVER and DB_DRIVER_IP; a bare machine runs it with the same set.
set -euo pipefail
environment=${CAPTIONLAKE_ENVIRONMENT:-/local_disk0/captionlake-ray}
port=${CAPTIONLAKE_RAY_PORT:-6385}
python=/databricks/python3/bin/python
[ -x "$python" ] || python=python3
unset SPARK_HOME PYTHONPATH PYSPARK_PYTHON  # Databricks' Spark is not RayDP's

if [ ! -x "$environment/bin/ray" ]; then
  "$python" -m venv "$environment"
  "$environment/bin/python" -m pip install --quiet "${CAPTIONLAKE_WHEELS:?names the folder of the wheel}"/captionlake-*.whl
  (cd / && "$environment/bin/python" -m lib.delta_jars)
fi

# Slots, not cores: RayDP's executors wait while workers train (see lib/ray_cluster.py).
start=("$environment/bin/ray" start --disable-usage-stats "--num-cpus=$(($(nproc) + 4))")
if [ "${DB_IS_DRIVER:-FALSE}" = TRUE ]; then
  exec "${start[@]}" --head "--port=$port" --include-dashboard=false
fi
for _ in $(seq 60); do  # the driver may still be installing
  "${start[@]}" "--address=${DB_DRIVER_IP:?is set by Databricks}:$port" && exit 0
  sleep "${CAPTIONLAKE_RETRY_S:-10}"
done
echo "no Ray head answers at $DB_DRIVER_IP:$port" >&2
exit 1
