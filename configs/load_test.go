package configs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// written is a file of this content and mode, whatever the umask, in a directory that is ours alone.
func written(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	chmod(t, path, mode)
	return path
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// private is a new directory that is ours alone.
func private(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	chmod(t, dir, 0o700)
	return dir
}

// refused wants Load to fail, and to say this and nothing else.
func refused(t *testing.T, path string, want ...string) {
	t.Helper()
	_, err := Load(path)
	if err == nil {
		t.Fatalf("loaded, want %q", want)
	}
	got := strings.Split(err.Error(), "\n")
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("got:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

const (
	literal = "maildir: m\noutbox: {path: o}\naccounts:\n  a:\n    user: u\n    password: s3cret\n    pop3: {host: h}\n"
	pointed = "maildir: m\noutbox: {path: o}\naccounts:\n  a:\n    user: u\n    password: {env: PW}\n    pop3: {host: h}\n"
)

// TestT86FileMode is the modes that a configuration may have, with and without a password in it.
func TestT86FileMode(t *testing.T) {
	for mode, want := range map[os.FileMode]string{
		0o600: "", 0o400: "", 0o700: "",
		0o640: "stands in a file that others may read", 0o604: "stands in a file that others may read", 0o620: "stands in a file that others",
		0o610: "stands in a file that others",
	} {
		path := written(t, private(t), "c.yaml", literal, mode)
		if want == "" {
			if _, err := Load(path); err != nil {
				t.Errorf("%o: %v", mode, err)
			}
			continue
		}
		refused(t, path, path+":6: accounts.a.password: "+want)
	}
	dir := private(t)
	for _, mode := range []os.FileMode{0o644, 0o664} {
		if _, err := Load(written(t, dir, "c.yaml", pointed, mode)); err != nil {
			t.Errorf("%o without a password: %v", mode, err)
		}
	}
	path := written(t, dir, "c.yaml", pointed, 0o646)
	refused(t, path, path+":1: anyone may write to this file")
}

// TestT86Directory is the modes of the directory around a file with a password.
func TestT86Directory(t *testing.T) {
	dir := private(t)
	path := written(t, dir, "c.yaml", literal, 0o600)
	for mode, fine := range map[os.FileMode]bool{0o755: true, 0o777 | os.ModeSticky: true, 0o777: false, 0o770: false, 0o702: false} {
		chmod(t, dir, mode)
		_, err := Load(path)
		if fine != (err == nil) {
			t.Errorf("%v: %v", mode, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), path+":6: accounts.a.password: stands in a file that others may replace (chmod go-w "+dir+")") {
			t.Errorf("%v: %v", mode, err)
		}
	}
	// Through a symbolic link the directory at the other end counts as well.
	chmod(t, dir, 0o777)
	link := filepath.Join(private(t), "c.yaml")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	refused(t, link, link+":6: accounts.a.password: stands in a file that others may replace (chmod go-w "+dir)
}

func TestLoad(t *testing.T) {
	dir := private(t)
	path := written(t, dir, "c.yaml", literal, 0o600)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.File != path || c.Maildir != filepath.Join(dir, "m") || c.Outbox.Path != filepath.Join(dir, "o") {
		t.Errorf("%+v", c)
	}
	// A relative name means the same file, and the same directory for what is relative to it.
	t.Chdir(dir)
	if c, err = Load("c.yaml"); err != nil || c.File != "c.yaml" || !filepath.IsAbs(c.Maildir) {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestLoadUnreadable(t *testing.T) {
	dir := private(t)
	refused(t, filepath.Join(dir, "none.yaml"), filepath.Join(dir, "none.yaml")+": read the configuration: no such file or directory")
	refused(t, dir, dir+": read the configuration: not a regular file")
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, fifo, fifo+": read the configuration: not a regular file")
	large := written(t, dir, "large.yaml", strings.Repeat("#\n", maxFile/2+1), 0o600)
	refused(t, large, large+": read the configuration: larger than 1048576 octets")
	if os.Geteuid() != 0 {
		closed := written(t, dir, "closed.yaml", literal, 0)
		refused(t, closed, closed+": read the configuration: permission denied")
	}
}

// TestApartThroughLinks has an outbox that only looks as if it were outside the maildir.
func TestApartThroughLinks(t *testing.T) {
	dir := private(t)
	if err := os.MkdirAll(filepath.Join(dir, "m", "out"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("m/out", filepath.Join(dir, "o")); err != nil {
		t.Fatal(err)
	}
	path := written(t, dir, "c.yaml", literal, 0o600)
	refused(t, path, path+":2: outbox.path: lies inside the maildir")
}

// TestNamedFiles has certificates, keys and password files that are missing, open to others, or something else.
func TestNamedFiles(t *testing.T) {
	dir := private(t)
	cert, key := certified(t)
	_, strange := certified(t)
	written(t, dir, "cert.pem", cert, 0o644)
	written(t, dir, "key.pem", key, 0o600)
	written(t, dir, "open.pem", key, 0o640)
	written(t, dir, "strange.pem", strange, 0o600)
	written(t, dir, "text", "hunter2!planted\n", 0o600)
	written(t, dir, "public", "hunter2!planted\n", 0o644)
	written(t, dir, "none", "", 0o600)
	written(t, dir, "long", strings.Repeat("x", 4097), 0o600)
	tests := map[string]struct {
		password, server string
		want             []string
	}{
		"right":         {"{file: text}", "ca_file: cert.pem, client_cert: cert.pem, client_key: key.pem", nil},
		"CA missing":    {"{file: text}", "ca_file: nowhere", []string{"5: accounts.a.pop3.ca_file: cannot be read: no such file"}},
		"CA text":       {"{file: text}", "ca_file: text", []string{"5: accounts.a.pop3.ca_file: holds no certificate"}},
		"other key":     {"{file: text}", "client_cert: cert.pem, client_key: strange.pem", []string{"5: accounts.a.pop3.client_key: is not the key"}},
		"no key":        {"{file: text}", "client_cert: cert.pem, client_key: text", []string{"5: accounts.a.pop3.client_key: is not the key"}},
		"open key":      {"{file: text}", "client_cert: cert.pem, client_key: open.pem", []string{"5: accounts.a.pop3.client_key: names a file that others may read"}},
		"all missing":   {"{file: no1}", "client_cert: no2, client_key: no3", []string{"4: accounts.a.password.file: cannot be looked at: no such", "5: accounts.a.pop3.client_cert: cannot be read", "5: accounts.a.pop3.client_key: cannot be read"}},
		"open password": {"{file: public}", "", []string{"4: accounts.a.password.file: names a file that others may read"}},
		"no password":   {"{file: none}", "", []string{"4: accounts.a.password.file: names a file that is empty"}},
		"long password": {"{file: long}", "", []string{"4: accounts.a.password.file: names a file that is empty or larger"}},
		"directory":     {"{file: .}", "ca_file: .", []string{"4: accounts.a.password.file: is not a regular file", "5: accounts.a.pop3.ca_file: cannot be read: not a regular"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := strings.TrimSuffix("host: h, "+test.server, ", ")
			path := written(t, dir, "c.yaml", "maildir: m\noutbox: off\naccounts: {a: {user: u,\n  password: "+test.password+",\n  pop3: {"+server+"}}}\n", 0o644)
			if test.want == nil {
				if _, err := Load(path); err != nil {
					t.Error(err)
				}
				return
			}
			var want []string
			for _, w := range test.want {
				want = append(want, path+":"+w)
			}
			refused(t, path, want...)
		})
	}
}

// certified is a new self-signed certificate and its key, both PEM.
func certified(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, octets []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: octets}))
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", secret)
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	system, none := filepath.Join(dir, "system.yaml"), filepath.Join(dir, "none.yaml")
	for _, name := range []string{"xdg/postrider", "home/.config/postrider"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		written(t, filepath.Join(dir, name), "config.yaml", "", 0o600)
	}
	written(t, dir, "system.yaml", "", 0o600)
	xdg, home := filepath.Join(dir, "xdg"), filepath.Join(dir, "home")
	tests := map[string]struct {
		flag   string
		env    map[string]string
		system string
		want   string
	}{
		"flag first":     {"f", map[string]string{"POSTRIDER_CONFIG": "e", "HOME": home}, system, "f"},
		"then variable":  {"", map[string]string{"POSTRIDER_CONFIG": "e", "HOME": home}, system, "e"},
		"then XDG":       {"", map[string]string{"XDG_CONFIG_HOME": xdg, "HOME": home}, system, xdg + "/postrider/config.yaml"},
		"XDG displaces":  {"", map[string]string{"XDG_CONFIG_HOME": dir, "HOME": home}, system, system},
		"relative XDG":   {"", map[string]string{"XDG_CONFIG_HOME": "xdg", "HOME": home}, system, home + "/.config/postrider/config.yaml"},
		"then home":      {"", map[string]string{"HOME": home}, system, home + "/.config/postrider/config.yaml"},
		"then system":    {"", map[string]string{"HOME": dir}, system, system},
		"without a home": {"", nil, system, system},
	}
	for name, test := range tests {
		got, err := find(test.flag, func(n string) string { return test.env[n] }, test.system)
		if err != nil || got != test.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, test.want)
		}
	}
	_, err := find("", func(n string) string { return map[string]string{"HOME": dir}[n] }, none)
	want := "find the configuration: there is none at " + dir + "/.config/postrider/config.yaml or " + none
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if got, err := Find("x", os.Getenv); got != "x" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
