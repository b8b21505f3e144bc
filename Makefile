# make             build bin/postrider
# make test        vet and all tests, with the race detector where there is a C compiler
# make check       format, vet, staticcheck, manual pages, a short run of every fuzz target
# make fuzz        every fuzz target for FUZZTIME
# make crash       a kill at every call and 60 power cuts a disk layout; needs root for the latter, and some hours
# make install     into DESTDIR, below PREFIX; run make first, as yourself
#                  with SENDMAIL=yes also under the names sendmail, mailq and newaliases

GO       ?= go
PREFIX   ?= /usr/local
DESTDIR  ?=
FUZZTIME ?= 60s
RELEASE  ?=
SENDMAIL ?=

STATICCHECK = v0.8.2

# The race detector needs cgo, and cgo a compiler: go says whether it has one.
RACE    = $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)
LINTER  = bin/staticcheck-$(STATICCHECK)/staticcheck
SHARE   = $(DESTDIR)$(PREFIX)/share

.PHONY: build test check lint fuzz crash install clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath $(if $(RELEASE),-ldflags '-X main.release=$(RELEASE)') -o bin/postrider ./cmd/postrider

# Tests build the program too; git does not answer for a tree that belongs to somebody else.
test check lint fuzz crash: export GOFLAGS := $(GOFLAGS) -buildvcs=false

test:
	$(GO) vet ./...
	$(GO) test $(RACE) -timeout 40m ./...

check: lint
	$(MAKE) fuzz FUZZTIME=5s

lint: $(LINTER)
	@files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) || exit; test -z "$$files" || { echo "not formatted by gofmt:"; echo "$$files"; exit 1; }
	$(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./...
	$(LINTER) ./...
	@if command -v mandoc >/dev/null; then mandoc -T lint -W warning docs/*.[15]; else echo "mandoc is not installed: the manual pages are not checked"; fi

$(LINTER):
	GOBIN=$(CURDIR)/$(@D) GOFLAGS= $(GO) install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK)

fuzz:
	@list=$$($(GO) test -list '^Fuzz' ./...) || { echo "$$list"; exit 1; }; \
	echo "$$list" | awk '/^Fuzz/ { target[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, target[i]; n = 0 }' | \
	while read -r package target; do \
		echo "fuzz $$package $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" </dev/null || exit 1; \
	done

crash:
	POSTRIDER_WHOLE=1 $(GO) test ./cmd/postrider -skip Real -timeout 300m -v

bin/postrider:
	$(MAKE) build

install: bin/postrider
	install -d $(DESTDIR)$(PREFIX)/bin $(SHARE)/man/man1 $(SHARE)/man/man5 \
		$(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	install -m 755 bin/postrider $(DESTDIR)$(PREFIX)/bin/postrider
	install -m 644 docs/postrider.1 $(SHARE)/man/man1/postrider.1
	install -m 644 docs/postrider-sendmail.1 $(SHARE)/man/man1/postrider-sendmail.1
	install -m 644 docs/postrider.yaml.5 $(SHARE)/man/man5/postrider.yaml.5
	bin/postrider completion bash >$(SHARE)/bash-completion/completions/postrider
	bin/postrider completion zsh >$(SHARE)/zsh/site-functions/_postrider
	bin/postrider completion fish >$(SHARE)/fish/vendor_completions.d/postrider.fish
	@# What another program has put there stays.
	@for name in $(if $(SENDMAIL),sendmail mailq newaliases); do \
		link=$(DESTDIR)$(PREFIX)/bin/$$name; \
		if [ "$$(readlink $$link)" != postrider ]; then echo "ln -s postrider $$link"; ln -s postrider $$link || exit; fi; \
	done

clean:
	rm -rf bin
