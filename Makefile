# The commands of this project; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
READY := .venv/.ready
RUN := .venv/bin/python
UV := 0.13.8
LAKE ?= lake
READER ?= reader
# SMILES=... names a file of molecules to draw (reader, bench-quality, bench-lessons); without it they are RDKit's own.
MOLECULES := $(if $(SMILES),--set drawing.smiles_file=$(SMILES))

.PHONY: help setup demo demo-photos demo-teach caption serve review look pipeline sheet sql mlflow reader graph-reader tune horovod ketcher test test-fast test-slow coverage check bundle-check bench \
  bench-quality bench-other-drawers bench-photos bench-faults bench-train bench-stages bench-serve bench-lessons bench-workers bench-distributed clean

help:  ## list the commands
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## install everything into .venv (the other commands do it when needed)

# Any Python 3.11 or 3.12 with venv will do; PYTHON=... picks one.
$(READY): requirements.lock pyproject.toml lib/lake/class_archive.py
	@for python in $(if $(PYTHON),$(PYTHON),python3.11 python3.12 python3); do \
	  if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; \
	  then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "captionlake needs Python 3.11 or 3.12 with its venv module$(if $(PYTHON), and $(PYTHON) is not one,; none was found: name one with PYTHON=...)." >&2; exit 2; \
	fi; \
	$$found -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	@.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps -r requirements.lock
	@.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	@.venv/bin/python -W ignore -m lib.lake.delta_jars 2>.venv/delta_jars.log || { cat .venv/delta_jars.log >&2; exit 1; }
	@.venv/bin/python -W ignore -m lib.lake.class_archive 2>.venv/class_archive.log || rm -f .venv/share/captionlake/classes.jsa  # Spark starts without it, later
	@touch $(READY)

# The pretrained model can read; a minute or so makes it used to these drawings. Two readings of each, not eight, to be quick.
DEMO := --set training.max_train_seconds=60 --set training.num_epochs=2 --set training.batch_size=64 --set prediction.scales=[1.0]

demo: $(READY)  ## draw 2,000 molecules, clean, train, caption and report on them (under 15 minutes on 2 cores)
	@$(RUN) -m jobs.draw_molecules --set "storage.root=$(LAKE)" --set "landing.path=$(LAKE)/landing"
	@$(RUN) -m jobs.run_pipeline --set "storage.root=$(LAKE)" --set "landing.path=$(LAKE)/landing" $(DEMO)

# Further from the pretrained model, which knows the words: some minutes make it used to these scenes.
DEMO_PHOTOS := --set training.start_from=pretrained --set training.num_epochs=8 --set training.max_train_seconds=300 --set training.learning_rate=0.0005

demo-photos: $(READY)  ## caption a dozen free photographs, then train further on 1,000 drawn scenes and report on them (no data needed)
	@$(RUN) -m bench.free_photographs --output "$(LAKE)/free-photographs"
	@$(RUN) -m jobs.run_pipeline --dataset photos --set "landing.path=$(LAKE)/free-photographs" --set "storage.root=$(LAKE)/photographs" \
	  --set prediction.model_version=pretrained
	@$(RUN) -m bench.drawn_scenes --output "$(LAKE)/drawn-scenes"
	@$(RUN) -m jobs.run_pipeline --dataset photos --set "landing.path=$(LAKE)/drawn-scenes" --set "storage.root=$(LAKE)/scenes" $(DEMO_PHOTOS)

demo-teach: $(READY)  ## review 200 captions of drawings in a style that the model reads badly, train on the reviews, read others of that style
	@$(RUN) -m bench.teaching --output "$(LAKE)/taught"

# Java's second compiler takes more time than it saves in a run of a minute.
SHORT_RUN := -XX:+UseSerialGC -XX:TieredStopAtLevel=1
# Each folder gets a lake of its own, or OUTPUT names it: images of two folders may be called alike.
# MODEL=... is a model as prediction.model_version names one; nothing is trained. CAPTION has further flags of
# jobs.run_pipeline: make caption IMAGES=/data/images CAPTION="--set landing.image_id=path"
caption: $(READY)  ## caption your own drawings of molecules, or DATASET=photos, with a model that comes with the project: IMAGES=folder
	@if [ -z "$$IMAGES" ]; then echo "Name a folder of images: make caption IMAGES=/data/images" >&2; exit 2; fi; \
	folder=$$(unset CDPATH; cd -- "$$IMAGES" 2>/dev/null && pwd || echo "$$IMAGES"); name=$${folder//-/--}; name=$${name//\//-}; \
	SPARK_SUBMIT_OPTS="$(SHORT_RUN)" $(RUN) -m jobs.run_pipeline --dataset "$${DATASET:-molecules}" --set "landing.path=$$folder" --set "storage.root=$${OUTPUT:-captioned/$${name#-}}" \
	  --set "prediction.model_version=$${MODEL:-pretrained}" --set cluster.train_when=never --set report.num_with_attention=0 $(CAPTION)

# DATASET=photos for a photograph, MODEL=folder for another checkpoint, OUTPUT=look.png for where it is written.
look: $(READY)  ## write where attention looked for each word of an image's caption, as one PNG: IMAGE=file
	@if [ -z "$$IMAGE" ]; then echo "Name an image: make look IMAGE=/data/drawing.png" >&2; exit 2; fi; \
	$(RUN) -m bench.look "$$IMAGE" --dataset "$${DATASET:-molecules}" --output "$${OUTPUT:-look.png}" $${MODEL:+--model "$$MODEL"}

sheet: $(READY)  ## write a contact sheet of images before and after cleaning to lake/contact_sheet.png
	@$(RUN) -m bench.contact_sheet --set "landing.path=$(LAKE)/landing" --output "$(LAKE)/contact_sheet.png"

# KEY=VALUE settings: make serve SERVE="--set serving.host=0.0.0.0 --set storage.root=/data/lake"
serve: $(READY)  ## answer over HTTP at 127.0.0.1:8000 with the current or the pretrained model (SERVE="--set serving.port=8080"; docs/serving.md)
	@$(RUN) -m jobs.serve_captions --set "storage.root=$(LAKE)" $(SERVE)

# KEY=VALUE settings as for serve: make review REVIEW="--set reviewing.port=8080 --set storage.root=/data/lake"
review: $(READY)  ## the page where people look at captions and correct them, at 127.0.0.1:8001 (REVIEW="--dataset photos"; docs/review.md)
	@$(RUN) -m jobs.serve_reviews --set "storage.root=$(LAKE)" $(REVIEW)

# Its pages are in the Python package mlflow alone, not in mlflow-skinny, which is enough to record. MLflow asks for an older pyarrow and
# importlib-metadata than the lock has and works with these. Its job execution is a dozen processes that these pages do not need.
mlflow: $(READY)  ## open MLflow's page on the trainings in LAKE at 127.0.0.1:5000 (needs the Python package mlflow)
	@$(RUN) -c 'import sys, importlib.util as found; sys.exit(not all(map(found.find_spec, ("mlflow", "flask", "sqlalchemy"))))' || \
	  { echo "MLflow's page needs the Python package mlflow: .venv/bin/uv pip install --python .venv/bin/python --override requirements.lock mlflow" >&2; exit 2; }
	@test -f "$(LAKE)/mlflow.db" || { echo "No training has been recorded in $(LAKE): train first, or name another lake with LAKE=..." >&2; exit 2; }
	@MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(RUN) -m mlflow ui --backend-store-uri "sqlite:///$(abspath $(LAKE))/mlflow.db" --workers 1 --host 127.0.0.1 --port 5000

sql: $(READY)  ## a prompt for SQL on the demo's tables and views (SQL="select ..." answers one statement)
	@$(RUN) -m jobs.sql_prompt --set storage.root=$(LAKE) $${SQL:+-e "$$SQL"}

test: $(READY)  ## all tests, on real Spark, Delta and Ray
	@$(RUN) -m pytest

test-slow: $(READY)  ## the tests that need minutes, root, Horovod, a browser or Prometheus; what is missing here is skipped
	@$(RUN) -m pytest -n 0 -m slow

test-fast: $(READY)  ## the tests that start neither Spark nor Ray
	@$(RUN) -m pytest tests/unit tests/contracts

# Apart from `make test`, which counting lines would slow down.
coverage: $(READY)  ## the lines that the tests without Spark and Ray reach
	@$(RUN) -m pytest --cov --cov-report=term tests/unit tests/contracts

check: $(READY)  ## lint, format, types and the bundle
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@$(RUN) -m tests.contracts.bundle_check

bundle-check: $(READY)  ## the bundle and its wheel, as far as they can be checked without a workspace
	@$(RUN) -m tests.contracts.bundle_check
	@$(RUN) -m tests.contracts.wheel_check

bench: $(READY)  ## our drawings' statistics beside the genuine ones, and the speed of cleaning
	@$(RUN) -m bench.drawing_statistics
	@$(RUN) -m bench.cleaning_speed

bench-quality: $(READY)  ## how well the pretrained model reads 2,000 molecules that it never saw, other drawers' and SCANS=folder
	@$(RUN) -m bench.quality $(MOLECULES) $(if $(SCANS),--scans $(SCANS))
	@$(RUN) -m bench.ordinary $(MOLECULES)

# CDK is a jar inside RanDepict's wheel; the packages go to a folder of their own, .other_drawers.
bench-other-drawers: $(READY)  ## how well the pretrained model reads what CDK, OpenBabel, PIKAChU, Indigo and RDKit draw by default
	@test -d .other_drawers || { rm -rf .other_drawers.part && .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps \
	  --target .other_drawers.part RanDepict==1.3.0 pikachu-chem==1.1.6 openbabel-wheel==3.1.1.23 resvg-py==0.5.0 && mv .other_drawers.part .other_drawers; }
	@$(RUN) -m bench.other_drawers $(MOLECULES)

# FLICKR=folder with Flickr8k as it is distributed: its lake is made once, in LAKE (photos-lake). Without FLICKR, LAKE is only read.
bench-photos: $(READY)  ## caption Flickr8k's official test images; BLEU, METEOR, ROUGE-L, CIDEr beside controls and published figures (FLICKR=folder or LAKE=lake)
	@$(RUN) -m bench.photos $${FLICKR:+--flickr "$$FLICKR"} --lake "$(if $(filter file,$(origin LAKE)),photos-lake,$(LAKE))"

bench-train: $(READY)  ## how fast the pretrained model learns, beside the classic starter and the matrix rate (nothing else may run)
	@$(RUN) -m bench.train_speed

bench-stages: $(READY)  ## each stage through Spark and Delta beside the bare loop on the same cores (nothing else may run; STAGES="--stages clean")
	@$(RUN) -m bench.stages $(STAGES)

bench-serve: $(READY)  ## requests/s, 50th and 99th percentile at 1, 8 and 64 clients, beside the bare captioner (nothing else may run)
	@$(RUN) -m bench.serving

bench-lessons: $(READY)  ## what each notation and each loss is worth, taught to one network on small molecules (90 minutes on 2 cores)
	@$(RUN) -m bench.lessons $(MOLECULES)

bench-workers: $(READY)  ## the same training with 1, 2 and 4 workers: parts of images, and losses
	@$(RUN) -m bench.same_result

bench-distributed: $(READY)  ## images/s of one process, Ray and Horovod workers, step by step (under 8 minutes)
	@$(RUN) -m bench.distributed
	@$(RUN) -m bench.scaling

# FAULTS="--drawings 300 --seeds 3 --jobs clean_images" chooses; train_captioner is tried only where --jobs names it.
bench-faults: $(READY)  ## kill each job 20 times, fill its disk, run it twice, send hostile files; compare all tables (hours; FAULTS="--seeds 3" for less)
	@$(RUN) -m bench.faults $(FAULTS)

tune: $(READY)  ## try learning rates, batch sizes and widths on drawings, a minute each, and print a table
	@$(RUN) -m jobs.tune_captioner --set "storage.root=$(LAKE)" --set "landing.path=$(LAKE)/landing"

horovod: $(READY)  ## build Horovod for the torch in .venv (a compiler, cmake and some minutes)
	@$(RUN) -m lib.training.horovod_build

# A build of Ketcher is inside the wheel streamlit-ketcher, which also brings folders called tests and e2e: they would hide our own.
ketcher: $(READY)  ## install Ketcher, with which molecules are corrected by drawing on the review page
	@packages=$$($(RUN) -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); unpacked=$$(mktemp -d); \
	.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --target "$$unpacked" streamlit-ketcher==0.0.1 && \
	rm -rf "$$packages"/streamlit_ketcher* && mv "$$unpacked"/streamlit_ketcher* "$$packages"; done=$$?; rm -rf "$$unpacked"; exit $$done

# DRAWINGS=... of them at most, SECONDS_OF_TRAINING=... how long; killed and run again, it goes on, and after that from the pretrained
# model.
# 32 drawings a worker and step learn most from each drawing; a GPU takes no longer for 768 than for 128. The rate at first undoes
# some of what was learned, which half a million drawings make up for; where there are less, RATE=0.0002.
GPU = $(shell nvidia-smi -L >/dev/null 2>&1 && echo yes)
SECONDS_OF_TRAINING ?= 5400
DRAWINGS ?= 400000
BATCH ?= $(if $(GPU),768,64)
RATE ?= $(if $(GPU),0.0014,0.0007)
reader: $(READY)  ## train the pretrained model further on drawings alone; what reads better replaces it (READER=folder keeps drawings)
	@$(RUN) -m jobs.train_on_drawings --folder $(READER) --publish model/pretrained/molecules \
	  --set storage.root=$(READER) --set landing.path=$(READER) --set training.num_epochs=1000 \
	  --set training.max_train_seconds=$(SECONDS_OF_TRAINING) --set training.log_interval_steps=100 \
	  --set training.checkpoint_interval_steps=100 --set training.learning_rate=$(RATE) --set training.batch_size=$(BATCH) \
	  --set training.average_decay=0.999 --set drawing.stereo_fraction=0.9 --set drawing.isotope_fraction=0.03 --set drawing.group_fraction=0.3 \
	  --set "drawing.drawers={indigo: 5, rdkit: 1, coordgen: 1, free: 4, printed: 4, restyled: 4}" --set "drawing.free_bond_length_px=[22, 80]" \
	  --set drawing.num_drawings=$(DRAWINGS) $(MOLECULES)

graph-reader: $(READY)  ## train what reads drawings as graphs on the drawings of `make reader` (READER=folder)
	@$(RUN) -m jobs.train_graph_reader --reader graph --folder $(READER) --output model/pretrained/graphs/molecules.safetensors \
	  --set storage.root=$(READER) --set landing.path=$(READER)
	@$(RUN) -m jobs.train_graph_reader --reader label --folder $(READER) --output model/pretrained/labels/molecules.safetensors \
	  --set storage.root=$(READER) --set landing.path=$(READER) --set wear.whole_fraction=0.65
	@$(RUN) -m jobs.train_graph_reader --reader edge --folder $(READER) --output model/pretrained/edges/molecules.safetensors \
	  --set storage.root=$(READER) --set landing.path=$(READER) --set wear.whole_fraction=0.45

clean:  ## remove the demo: drawings, tables, models and reports (not .venv)
	rm -rf "$(LAKE)"
