package configs

import (
	"strings"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "90s": 90 * time.Second, "5m": 5 * time.Minute, "36h": 36 * time.Hour, "14d": 336 * time.Hour, "1h30m": 90 * time.Minute,
		"1d2h3m4s": 26*time.Hour + 3*time.Minute + 4*time.Second, "106751d": 106751 * 24 * time.Hour,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "60", "s", "5", "-5m", "+5m", "5 m", "1.5h", "500ms", "5M", "30m1h", "1h1h", "5mm", "1w", "106752d", "99999999999999999999s", "106751d86400s999999999999s"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "50MB": 50_000_000, "50 MB": 50_000_000, "50MiB": 50 << 20, "1GiB": 1 << 30, "7kB": 7000, "7KiB": 7168, "2tb": 2e12, "10B": 10,
		"9223372036854775807": 1<<63 - 1, "8388607TiB": 8388607 << 40,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MB", "-1", "+1", "1.5MB", "1_000", "0x10", "5M", "5 5", "9223372036854775808", "8388608TiB"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestSchedule(t *testing.T) {
	for text, want := range map[string]Schedule{
		"manual": {Manual: true}, "@every 5m": {Every: 5 * time.Minute}, "@every 1d": {Every: 24 * time.Hour}, "@hourly": {Cron: "@hourly"},
		"*/5 8-18 * * 1-5": {Cron: "*/5 8-18 * * 1-5"}, "TZ=UTC 0 7 * * *": {Cron: "TZ=UTC 0 7 * * *"}, "0 0 29 2 *": {Cron: "0 0 29 2 *"},
	} {
		if got, err := parseSchedule(text); err != nil || got != want {
			t.Errorf("%q is %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5m", "@every", "@every ", "@every 0s", "@every 500ms", "@every 5", "@sometimes", "* * * *", "* * * * * *", "60 * * * *",
		"*/0 * * * *", "TZ=UTC", "CRON_TZ=UTC", "TZ=Nowhere/None * * * * *", "TZ=UTC @every 1s", "0 0 30 2 *", ", * * * *", "Manual"} {
		if got, err := parseSchedule(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func TestDisposal(t *testing.T) {
	for text, want := range map[string]Disposal{
		"keep": {}, "seen": {Action: Seen}, "delete": {Action: Delete}, "delete after 30d": {Action: Delete, After: 720 * time.Hour},
		"delete after 2s": {Action: Delete, After: 2 * time.Second}, "move Old/Mail 2": {Action: Move, Folder: "Old/Mail 2"},
	} {
		if got, err := parseDisposal(text); err != nil || got != want {
			t.Errorf("%q is %+v, %v; want %+v", text, got, err, want)
		}
		_, err := parsePOP3Disposal(text)
		if imapOnly := want.Action == Seen || want.Action == Move; imapOnly != (err != nil) {
			t.Errorf("%q for POP3: %v", text, err)
		}
	}
	for _, text := range []string{"", "Keep", "keep it", "delete 30d", "delete after", "delete after 30", "delete after x", "move", "move ", "move a\x01b", "seen x"} {
		if got, err := parseDisposal(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
	for action, word := range map[Action]string{Keep: "keep", Seen: "seen", Delete: "delete", Move: "move", 9: "unknown"} {
		if action.String() != word {
			t.Errorf("%d is %s", action, action)
		}
	}
}

func TestExpand(t *testing.T) {
	env := world()
	for text, want := range map[string]string{
		"~": "/home/ada", "~/Mail": "/home/ada/Mail", "~/": "/home/ada", "/a//b/../c/": "/a/c", "Mail": "/etc/mail/Mail", "../x": "/etc/x",
		"$SPOOL": "/srv/spool", "${SPOOL}/x": "/srv/spool/x", "a/$SUB/c": "/etc/mail/a/a/b/c", "~/$SUB": "/home/ada/a/b", "a$": "/etc/mail/a$",
		"a$/$1": "/etc/mail/a$/$1", "$SPOOL$SUB": "/srv/spoola/b", "a~": "/etc/mail/a~", "x y": "/etc/mail/x y",
	} {
		if got, err := env.expand(text); err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", "~eve/x", "$NOPE", "$EMPTY/x", "${NOPE}", "${", "${}", "${A", "${1}", "${A-b}", "a\nb", "a\x00b"} {
		if got, err := env.expand(text); err == nil {
			t.Errorf("%q is %q", text, got)
		}
	}
	if got, err := (Env{Dir: "/d"}).expand("~/x"); err == nil {
		t.Errorf("without a home ~/x is %q", got)
	}
}

func TestT24FolderPatternsStayBelowTheRoot(t *testing.T) {
	for _, text := range []string{"{account}/{folder}", "{folder}", "INBOX", "mail/{account}.{folder}", "a b/ü", "tmpx", "{account}-new"} {
		if _, err := parseDeliverTo(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", "/", "/abs", "a/", "a//b", "..", "../x", "a/../b", ".", "a/.", ".postrider", "a/.b", "tmp", "a/new", "cur/a", "a/TMP", "{user}",
		"{account", "a}", "{{account}}", "{}", "a\x00", "a\nb", "a\u0085b", strings.Repeat("a", 201)} {
		if _, err := parseDeliverTo(text); err == nil {
			t.Errorf("%q is a folder to deliver to", text)
		}
		if _, err := parseSent(text); err == nil && text != "" {
			t.Errorf("%q is a folder for sent mail", text)
		}
	}
	if _, err := parseSent("{account}/{folder}"); err == nil {
		t.Error("what is sent comes from a folder")
	}
}

func TestNearest(t *testing.T) {
	words := []string{"host", "port", "tls", "deliver_to", "client_key"}
	for typed, want := range map[string]string{
		"hots": "host", "prot": "port", "deliver-to": "deliver_to", "DeliverTo": "deliver_to", "clientkey": "client_key", "TLS": "tls", "tsl": "tls",
		"zebra": "", "x": "", "": "", "folders": "", strings.Repeat("host", 20): "",
	} {
		if got := nearest(typed, words); got != want {
			t.Errorf("%q is near %q, want %q", typed, got, want)
		}
	}
}
