package daemon

import (
	"errors"
	"strings"
	"testing"

	"postrider/configs"
)

func TestChooseAccounts(t *testing.T) {
	t.Parallel()
	c := &configs.Config{File: "config.yaml", Accounts: []configs.Account{{Name: "a", POP3: &configs.Mailbox{}}, {Name: "b", IMAP: &configs.Mailbox{}}, {Name: "c"}}}
	for _, tt := range []struct {
		names  []string
		chosen string
		err    string
	}{
		{nil, "abc", ""},
		{[]string{"b", "a", "b"}, "ba", ""},
		{[]string{"a", "x"}, "", `account "x" is not in config.yaml`},
		{[]string{"c"}, "", `account "c" has neither imap nor pop3: there is nothing to fetch`},
	} {
		chosen, err := choose(c, tt.names)
		var names strings.Builder
		for _, a := range chosen {
			names.WriteString(a.Name)
		}
		if names.String() != tt.chosen {
			t.Errorf("%v: chose %q, want %q", tt.names, names.String(), tt.chosen)
		}
		var unknown *UnknownAccountError
		if (tt.err != "") != errors.As(err, &unknown) || err != nil && err.Error() != tt.err {
			t.Errorf("%v: error %v, want %q", tt.names, err, tt.err)
		}
	}
}

func TestDeliverTo(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{"{account}/{folder}": "work/INBOX", "all": "all", "mail/{folder}/{account}": "mail/INBOX/work"} {
		if got := deliverTo(pattern, "work", "INBOX"); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
	if got := deliverTo("{account}", "{folder}", "x"); got != "{folder}" {
		t.Errorf("a name was taken for a pattern: %q", got)
	}
}

func TestStateHome(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s"},
		{map[string]string{"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state"},
		{map[string]string{"HOME": "/h"}, "/h/.local/state"},
	} {
		if got, err := StateHome(func(k string) string { return tt.env[k] }); got != tt.want || err != nil {
			t.Errorf("%v: %q, %v", tt.env, got, err)
		}
	}
}
