package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"postrider/configs"
)

func TestPlainLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	noJournal := func(string) string { return "" }
	log := newLogger(configs.Log{Level: slog.LevelInfo, Format: "auto"}, &out, noJournal).With("account", "work")
	log.Debug("not shown")
	log.Info("delivered", "folder", "work/INBOX", "uid", "")
	log.Warn("set aside", "err", errors.New("server said \x1b[2J \u202e no"), "quote", `a"b`)
	log.WithGroup("g").Error("failed", "n", 7)
	want := "delivered account=work folder=work/INBOX\n" +
		"warn: set aside account=work err=\"server said \\\\x1b[2J \\\\u202e no\" quote=\"a\\\"b\"\n" +
		"error: failed account=work g.n=7\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestJournalLog(t *testing.T) {
	t.Parallel()
	stream, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	info, err := stream.Stat()
	if err != nil {
		t.Fatal(err)
	}
	at := info.Sys().(*syscall.Stat_t)
	log := newLogger(configs.Log{Level: slog.LevelDebug, Format: "auto"}, stream, func(k string) string {
		return map[string]string{"JOURNAL_STREAM": fmt.Sprintf("%d:%d", at.Dev, at.Ino)}[k]
	})
	log.Debug("d")
	log.Info("i\n<0>forged")
	log.Warn("w")
	log.Error("e")
	out, err := os.ReadFile(stream.Name())
	if want := "<7>d\n<6>i\\x0a<0>forged\n<4>w\n<3>e\n"; err != nil || string(out) != want {
		t.Errorf("got %q, want %q (%v)", out, want, err)
	}
	// A shell of the desktop has the variable too, with its own output elsewhere.
	if isJournal(stream, "8:1") || isJournal(stream, "") || isJournal(&bytes.Buffer{}, "8:1") {
		t.Error("something else was taken for the journal")
	}
}

func TestJSONAndTextLog(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		log := newLogger(configs.Log{Format: format}, &out, func(string) string { return "" })
		log.Info("m", "uid", "a\u009bb\u202e\xff\n", "err", errors.New("x\u009b"), "octets", 12)
		line := out.String()
		if strings.ContainsAny(line, "\u009b\u202e") || strings.Contains(line, "\xff") || strings.Count(line, "\n") != 1 {
			t.Errorf("%s: %q", format, line)
		}
		if format == "json" {
			var record map[string]any
			if err := json.Unmarshal(out.Bytes(), &record); err != nil || record["octets"] != 12.0 {
				t.Errorf("%v, %v", record, err)
			}
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b\u0085\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range printable(s) {
			if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r == 0xfffd && !strings.Contains(s, "\ufffd") {
				t.Errorf("%q is printed as %q", s, printable(s))
			}
		}
	})
}
