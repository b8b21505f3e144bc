package main

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"postrider/mailtest"
)

// TestProviders: whatever the manners of a provider, the first fetch brings all
// there is, the second nothing, the third what is new, and each policy does
// what it says.
func TestProviders(t *testing.T) {
	t.Parallel()
	for name, profile := range map[string]func() mailtest.IMAPOptions{
		"netease": mailtest.ProfileNetEase, "qq": mailtest.ProfileQQ, "gmail": mailtest.ProfileGmailIMAP, "m365": mailtest.ProfileM365,
		"icloud": mailtest.ProfileICloud, "yahoo": mailtest.ProfileYahoo, "mail.ru": mailtest.ProfileMailRu, "proton": mailtest.ProfileProton,
		"strato": mailtest.ProfileStrato, "dovecot": mailtest.ProfileDovecotLimit, "courier": mailtest.ProfileCourier, "idle-dead": mailtest.ProfileIdleDead,
	} {
		for _, folders := range []string{"[INBOX]", `["*"]`} {
			for _, policy := range []string{"keep", "seen", "delete", "move Done"} {
				t.Run(strings.Join([]string{name, folders, policy}, " "), func(t *testing.T) {
					t.Parallel()
					provider(t, profile(), folders, policy)
				})
			}
		}
	}
}

// provider fetches three times from one account.
func provider(t *testing.T, o mailtest.IMAPOptions, folders, policy string) {
	box := imapBox{folders: folders, extra: "on_server: " + policy}
	if !slices.Contains(o.Mechanisms, "PLAIN") {
		box = withToken(&o, box)
	}
	s := startIMAP(t, o, letters(3)...)
	big := append(letter("big"), []byte(strings.Repeat("0123456789\r\n", 3000))...)
	fill(s, "INBOX", big)
	inbox(s).SetFlags(2, `\Seen`, `\Flagged`)
	want := map[string][][]byte{"work/INBOX": append(letters(3), big)}
	if folders != "[INBOX]" {
		fill(s, "Lists"+cmp.Or(o.Delimiter, "/")+"gö&", letter("elsewhere"))
		want["work/Lists/gö&"] = [][]byte{letter("elsewhere")}
	}
	if strings.HasPrefix(policy, "move") {
		s.Account("ada").Mailbox("Done")
	}
	box.port = s.Port()
	h := newHostileIMAP(t, box)
	h.run("fetch").wants(exitOK)
	h.keeps(want)
	h.run("fetch").wants(exitOK).brings(0)
	inbox(s).Add(letter("late"))
	want["work/INBOX"] = append(want["work/INBOX"], letter("late"))
	h.run("fetch").wants(exitOK).brings(1)
	h.keeps(want)
	sent, all := texts(s), 0
	for _, messages := range want {
		all += len(messages)
	}
	if sent != all {
		t.Errorf("%d texts were sent for %d messages", sent, all)
	}
	switch n := len(want["work/INBOX"]); policy {
	case "keep":
		if got := inbox(s).Len(); got != n || len(flagged(inbox(s), `\Seen`)) != 1 {
			t.Errorf("%d are left, want %d; seen: %v", got, n, flagged(inbox(s), `\Seen`))
		}
	case "seen":
		if got := flagged(inbox(s), `\Seen`); len(got) != n {
			t.Errorf("seen: %v, want all %d", got, n)
		}
	case "delete", "move Done":
		if got := inbox(s).Len(); got != 0 {
			t.Errorf("%d are left", got)
		}
	}
	if got := s.Account("ada").Mailbox("Done").Len(); policy == "move Done" && got != all {
		t.Errorf("%d were moved, want %d", got, all)
	}
}

// withToken has the account log in with an access token.
func withToken(o *mailtest.IMAPOptions, box imapBox) imapBox {
	const token = "ya29.token"
	o.Users = map[string]string{"ada": token}
	box.password, box.extra = quoted(token), box.extra+"\nauth: xoauth2"
	return box
}
