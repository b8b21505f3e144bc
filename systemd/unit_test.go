package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const installed = "/usr/local/bin/postrider"

func unit(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// analyze runs systemd-analyze on a copy of the unit in which the command is
// one that is there.
func analyze(t *testing.T, name string, args ...string) {
	t.Helper()
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed: the units are not checked")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := unit(t, name)
	if !strings.Contains(text, "\nExecStart="+installed+" run\n") {
		t.Fatalf("%s does not start %s", name, installed)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, installed, self)), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tool, append(args, path)...)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir, "SYSTEMD_COLORS=0", "LC_ALL=C.UTF-8")
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	// verify succeeds in spite of keys that it does not know.
	if err != nil || args[0] != "security" && len(out) > 0 {
		t.Errorf("%v: %v\n%s", cmd.Args[1:], err, out)
	}
}

func TestUnitsVerify(t *testing.T) {
	t.Run("template", func(t *testing.T) { analyze(t, "postrider@.service", "verify", "--man=no") })
	t.Run("user", func(t *testing.T) { analyze(t, "postrider.service", "verify", "--user", "--man=no") })
}

// The exposure, in tenths, is what an outbound daemon in the host's network
// cannot do without.
func TestTemplateExposure(t *testing.T) {
	analyze(t, "postrider@.service", "security", "--offline=true", "--threshold=12")
}

// settings are the values of each key, in order.
func settings(text string) map[string][]string {
	found := map[string][]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, "=")
		if ok && !strings.HasPrefix(line, "#") {
			found[key] = append(found[key], value)
		}
	}
	return found
}

// What the daemon's promises rest on, and what no tool looks for.
func TestUnitsPromise(t *testing.T) {
	for _, name := range []string{"postrider.service", "postrider@.service"} {
		got := settings(unit(t, name))
		for key, want := range map[string]string{
			"Type": "notify", "NotifyAccess": "main", "Restart": "on-failure", "StartLimitIntervalSec": "0", "KillMode": "mixed",
			"UMask": "0077", "LimitCORE": "0", "LimitNOFILE": "16384", "WatchdogSec": "120", "TimeoutStopSec": "20", "RestartPreventExitStatus": "64 78",
		} {
			if !slices.Equal(got[key], []string{want}) {
				t.Errorf("%s: %s is %q, want %q", name, key, got[key], want)
			}
		}
		if len(got["RequiresMountsFor"]) == 0 {
			t.Errorf("%s starts without the disk of the maildir", name)
		}
	}
}

// Mail that goes into the empty home of the sandbox is lost with the unit: a
// missing directory must keep it from starting, which a dash would prevent.
func TestTemplateBindsOrFails(t *testing.T) {
	got := settings(unit(t, "postrider@.service"))
	if !slices.Equal(got["BindPaths"], []string{"/home/%i/Mail /home/%i/Outbox"}) || !slices.Equal(got["ProtectHome"], []string{"tmpfs"}) {
		t.Errorf("ProtectHome=%q BindPaths=%q", got["ProtectHome"], got["BindPaths"])
	}
	// Route events come over netlink, replies to systemd over a unix socket.
	for _, family := range []string{"AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"} {
		if !slices.Contains(strings.Fields(strings.Join(got["RestrictAddressFamilies"], " ")), family) {
			t.Errorf("%s is not allowed", family)
		}
	}
}
