package auth

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// privateDir is a temporary directory that is closed to others under any umask.
func privateDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeFile(t *testing.T, path, content string, mode fs.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}

func getFile(t *testing.T, path string) (string, error) {
	t.Helper()
	return NewPassword(Source{File: path}, nil).Get(t.Context())
}

func TestFileNewline(t *testing.T) {
	for content, want := range map[string]string{
		hunter: hunter, hunter + "\n": hunter, hunter + "\r\n": hunter, " " + hunter + " \n": " " + hunter + " ",
	} {
		got, err := getFile(t, writeFile(t, filepath.Join(privateDir(t), "pw"), content, 0o600))
		if err != nil || got != want {
			t.Errorf("%q: Get() = %q, %v; want %q", content, got, err, want)
		}
	}
	for content, want := range map[string]string{
		"": "empty", "\n": "empty", "\r\n": "empty",
		hunter + "\n\n": "NUL, CR or LF", hunter + "\r\r\n": "NUL, CR or LF", hunter + "\nnote\n": "NUL, CR or LF",
		strings.Repeat("x", maxPassword) + "\n": "4096", strings.Repeat("x", 1<<20): "4096",
	} {
		_, err := getFile(t, writeFile(t, filepath.Join(privateDir(t), "pw"), content, 0o600))
		checkError(t, err, true, want)
	}
}

func TestFileIsReadEachTime(t *testing.T) {
	path := writeFile(t, filepath.Join(privateDir(t), "pw"), "old", 0o600)
	p := NewPassword(Source{File: path}, nil)
	for _, want := range []string{"old", "new"} {
		writeFile(t, path, want, 0o600)
		if got, err := p.Get(t.Context()); err != nil || got != want {
			t.Errorf("Get() = %q, %v; want %q", got, err, want)
		}
	}
}

func TestT86FileMode(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o400, 0o700} {
		if _, err := getFile(t, writeFile(t, filepath.Join(privateDir(t), "pw"), hunter, mode)); err != nil {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	for bit := fs.FileMode(1); bit <= 0o40; bit <<= 1 {
		path := writeFile(t, filepath.Join(privateDir(t), "pw"), hunter, 0o600|bit)
		_, err := getFile(t, path)
		checkError(t, err, true, "run: chmod 600 "+path)
	}
}

func TestT86DirectoryWritableByOthers(t *testing.T) {
	base := privateDir(t)
	open := filepath.Join(base, "open")
	closed := filepath.Join(base, "closed")
	for _, dir := range []string{open, closed} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	inOpen := writeFile(t, filepath.Join(open, "pw"), hunter, 0o600)
	inClosed := writeFile(t, filepath.Join(closed, "pw"), hunter, 0o600)
	intoOpen, outOfOpen := filepath.Join(closed, "link"), filepath.Join(open, "link")
	for link, target := range map[string]string{intoOpen: inOpen, outOfOpen: inClosed} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		mode fs.FileMode
		good bool
	}{{0o700, true}, {0o775, true}, {0o777, false}, {0o702, false}, {0o777 | fs.ModeSticky, true}} {
		if err := os.Chmod(open, c.mode); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{inOpen, intoOpen, outOfOpen} {
			_, err := getFile(t, path)
			if c.good && err != nil {
				t.Errorf("directory mode %v: %v", c.mode, err)
			} else if !c.good {
				checkError(t, err, true, "writable by others; run: chmod o-w "+open)
			}
		}
	}
	if _, err := getFile(t, inClosed); err != nil {
		t.Errorf("beside the open directory: %v", err)
	}
}

func TestT86FileOwner(t *testing.T) {
	for _, c := range []struct {
		owner uint32
		euid  int
		good  bool
	}{{0, 0, true}, {0, 1000, true}, {1000, 1000, true}, {1000, 0, false}, {1001, 1000, false}} {
		err := checkOwnerAndMode("read password file f", "f", c.owner, c.euid, 0o600)
		if c.good && err != nil {
			t.Errorf("owner %d, we are %d: %v", c.owner, c.euid, err)
		} else if !c.good {
			checkError(t, err, true, fmt.Sprintf("belongs to another user (uid %d)", c.owner))
		}
	}
	t.Run("on disk", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("needs root to give a file away")
		}
		path := writeFile(t, filepath.Join(privateDir(t), "pw"), hunter, 0o600)
		if err := os.Chown(path, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		_, err := getFile(t, path)
		checkError(t, err, true, "another user (uid 12345)")
	})
}

// A FIFO without a writer must not hold us; nor may a directory, a device or a
// dangling link be taken for a password.
func TestT68FileIsNoFile(t *testing.T) {
	dir := privateDir(t)
	fifo, link := filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		fifo: "not a regular file", dir: "not a regular file", "/dev/null": "not a regular file",
		link: "no such file", filepath.Join(dir, "missing"): "no such file",
	} {
		_, err := getFile(t, path)
		checkError(t, err, true, want)
	}
}

func TestCredential(t *testing.T) {
	dir := privateDir(t)
	writeFile(t, filepath.Join(dir, "work"), hunter+"\n", 0o444) // some managers open them to all
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	env := Environ{"CREDENTIALS_DIRECTORY=" + dir}
	if got, err := NewPassword(Source{Credential: "work"}, env).Get(t.Context()); err != nil || got != hunter {
		t.Errorf("Get() = %q, %v", got, err)
	}
	for _, c := range []struct{ name, want string }{
		{"../work", `no "/" and no ".."`}, {"/etc/passwd", `no "/"`}, {"sub/x", `no "/"`}, {"..", `no ".."`},
		{".", "not a regular file"}, {"sub", "not a regular file"}, {"missing", "no such file"},
	} {
		_, err := NewPassword(Source{Credential: c.name}, env).Get(t.Context())
		checkError(t, err, true, c.want)
	}
	_, err := NewPassword(Source{Credential: "work"}, nil).Get(t.Context())
	checkError(t, err, true, "LoadCredential=work:PATH")
}
