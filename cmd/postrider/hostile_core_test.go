//go:build linux

package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestT91NoCore asks the password command about the process that started it:
// no core dump is written, and where that can be seen (not by root) the process
// is not dumpable, so that its files in /proc belong to root.
func TestT91NoCore(t *testing.T) {
	binary, dir := buildPostrider(t), t.TempDir()
	seen := filepath.Join(dir, "seen")
	script := filepath.Join(dir, "secret.sh")
	files := map[string]string{
		script:                            "#!/bin/sh\n{ grep core /proc/$PPID/limits; stat -c owner=%u /proc/$PPID/maps; } >" + seen + "\necho secret\n",
		filepath.Join(dir, "config.yaml"): "maildir: " + dir + "/Mail\noutbox: off\naccounts:\n  work:\n    address: ada@example.org\n    password: {command: [/bin/sh, " + script + "]}\n    pop3: {host: 127.0.0.1, port: 1, tls: none}\n",
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(binary, "-c", filepath.Join(dir, "config.yaml"), "fetch")
	cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	out, _ := cmd.CombinedOutput() // there is no server
	text, err := os.ReadFile(seen)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(strings.Join(strings.Fields(string(text)), " "), "Max core file size 0 0 bytes") {
		t.Errorf("core dumps are written: %s", text)
	}
	if syscall.Getuid() != 0 && !strings.Contains(string(text), "owner=0") {
		t.Errorf("the process is dumpable: %s", text)
	}
}
