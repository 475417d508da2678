# The project's verbs; `make` alone prints them. For GNU make 3.81 and bash 3.2, as macOS has them.

COMPOSE ?= docker compose
VENV ?= .venv
export COMPOSE VENV
PATH := $(abspath $(VENV))/bin:$(PATH)
export PATH
# Another project's Python must not stand in for ours, and sentences are UTF-8 wherever they go.
unexport PYTHONPATH PYTHONHOME PYTHONSAFEPATH PYTHONSTARTUP DJANGO_SETTINGS_MODULE
export PYTHONUTF8 := 1

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help up down logs local dyno prod deploy test lint manage lock doctor clean .env .env.production .venv

##@ Run

up: .env ## Build and start the stack, and print its addresses [containers; no engine: local]
	@python3 -m ops.up; code=$$?; [ $$code -eq 3 ] || exit $$code; exec $(MAKE_COMMAND) local

down: .env ## Stop the stack and keep its data [containers]
	@exec python3 -m ops.compose down

logs: .env ## Follow the logs; ARGS=worker for one process [containers]
	@exec python3 -m ops.compose logs --follow --tail 100 $(ARGS)

local: .env .venv ## Run the stack without containers, until Ctrl-C [local]
	@exec $(VENV)/bin/python -m local.run

dyno: .env ## Run the stack under Heroku's rules and say whether it passes; KEEP=1 leaves it up [containers]
	@exec python3 -m ops.dyno

prod: .env.production ## Run the stack in production on this server; ARGS="--scale web=3", or any Compose command [containers]
	@exec python3 -m ops.prod $(ARGS)

deploy: .env.production ## Deploy to Heroku: APP=name, and FLOWER_APP=name for Flower; DRY_RUN=1 only prints [neither]
	@exec python3 -m ops.heroku

manage: .env ## Run manage.py, as in ARGS="createsuperuser"; it writes files as you [both]
	@exec ops/manage.sh $(ARGS)

##@ Change

test: .venv ## Run the tests; ARGS="-k expire" runs some of them [both]
	$(VENV)/bin/pytest --numprocesses logical $(ARGS)

lint: .venv ## Run every check of the code [neither]
	@ops/lint.sh

lock: .venv ## Write the lock files of the requirements; ARGS=--upgrade gets newer packages [neither]
	@ops/lock.sh $(ARGS)

##@ This machine

doctor: .env ## Say what keeps `make up` from working, and how many connections it takes [containers]
	@python3 -m ops.doctor

clean: .env ## Delete the data of both ways of running, and say what was deleted [both]
	@ops/clean.sh

.env: ## Make .env with fresh secrets, or add what an older one lacks [both]
	@command -v python3 >/dev/null || { echo "python3 is missing: install Python 3.11 or newer"; exit 1; }
	@python3 -m ops.envfile $@

.env.production: ## The same for production; you fill in the S3 keys and the host name [neither]
	@python3 -m ops.envfile $@

.venv: ## Install what runs and checks the project, if that changed [local]
	@ops/venv.sh

help:
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[.a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
