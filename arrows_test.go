// Package postrider_test holds what is true of the whole module.
package postrider_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// arrows says, for each package, which packages of ours it may import. A
// package that is not here may not exist: put it in its place first.
var arrows = map[string][]string{
	"cmd/postrider": {"daemon", "remote", "fetch", "outbox", "ledger", "configs", "auth", "maildir"},
	"cmd/demo":      {"daemon", "outbox", "configs", "mailtest", "auth"},
	"daemon":        {"remote", "fetch", "outbox", "configs", "ledger", "maildir", "auth"},
	"remote":        {"fetch", "outbox", "configs", "maildir", "auth", "pop3", "imap", "smtp"},
	"fetch":         {"ledger", "maildir"},
	"outbox":        {"ledger", "maildir"},
	"configs":       {},
	"ledger":        {},
	"maildir":       {},
	"auth":          {},
	"pop3":          {},
	"imap":          {},
	"smtp":          {},
	"systemd":       {},
	"mailtest":      {},
	// Fault tools stand beside the servers for tests, and serve tests only.
	"mailtest/syscut":   {},
	"mailtest/powercut": {},
}

// leaves may use, besides the standard library, only these modules.
var leaves = map[string][]string{
	"auth": {"github.com/emersion/go-sasl", "github.com/xdg-go/scram", "golang.org/x/text", "golang.org/x/sys"},
	"pop3": {"github.com/emersion/go-sasl"},
	"imap": {"github.com/emersion/go-sasl"},
	"smtp": {"github.com/emersion/go-sasl"},
}

// TestArrows fails on any import that does not point down.
func TestArrows(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		name, ok := strings.CutPrefix(p.ImportPath, "postrider/")
		if !ok {
			continue // the module's root holds tests only
		}
		allowed, known := arrows[name]
		if !known {
			t.Errorf("package %s has no place in the layout", name)
			continue
		}
		for _, i := range p.Imports {
			checkImport(t, name, i, allowed)
		}
	}
}

func checkImport(t *testing.T, name, path string, allowed []string) {
	t.Helper()
	if ours, ok := strings.CutPrefix(path, "postrider/"); ok {
		for _, a := range allowed {
			if a == ours {
				return
			}
		}
		t.Errorf("%s imports %s: no arrow goes that way", name, ours)
		return
	}
	modules, leaf := leaves[name]
	if !leaf || !strings.Contains(strings.SplitN(path, "/", 2)[0], ".") {
		return
	}
	for _, m := range modules {
		if path == m || strings.HasPrefix(path, m+"/") {
			return
		}
	}
	t.Errorf("%s imports %s: a protocol leaf keeps to the standard library and %v", name, path, modules)
}
