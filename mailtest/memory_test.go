package mailtest_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"postrider/imap"
	"postrider/mailtest"
)

// TestIMAPMemory: go-imap's server, with the module's client.
func TestIMAPMemory(t *testing.T) {
	ca, err := mailtest.NewCA()
	check(t, err)
	config, err := ca.Server()
	check(t, err)
	for _, way := range []struct {
		name string
		o    mailtest.IMAPMemoryOptions
	}{
		{"clear", mailtest.IMAPMemoryOptions{}},
		{"implicit", mailtest.IMAPMemoryOptions{TLS: config, Implicit: true, User: "bob", Password: "pw"}},
		{"starttls", mailtest.IMAPMemoryOptions{TLS: config}},
	} {
		t.Run(way.name, func(t *testing.T) {
			s := mailtest.StartIMAPMemory(t, way.o)
			check(t, s.Create("Archive"))
			uid, err := s.Append("INBOX", []byte("Subject: x\r\n\r\nbody\r\n"), time.Now(), `\Seen`)
			check(t, err)
			conn, err := net.Dial("tcp", s.Addr())
			check(t, err)
			if way.o.Implicit {
				conn = tls.Client(conn, ca.ClientTLS("localhost"))
			}
			c, err := imap.New(t.Context(), conn, imap.Options{})
			check(t, err)
			defer func() { _ = c.Close() }()
			user, password := "ada", "secret"
			if way.o.User != "" {
				user, password = way.o.User, way.o.Password
			}
			if way.o.TLS != nil && !way.o.Implicit {
				check(t, c.StartTLS(t.Context(), ca.ClientTLS("localhost")))
			}
			check(t, c.Login(t.Context(), user, password))
			_, err = c.Select(t.Context(), "INBOX", imap.SelectOptions{})
			check(t, err)
			r := fetchTexts(t, c, imap.UIDs(uid))
			if r.got[uid] != "Subject: x\r\n\r\nbody\r\n" {
				t.Errorf("fetched %v, missing %v, failed %v", r.got, r.missing, r.failed)
			}
			_, err = c.Move(t.Context(), imap.UIDs(uid), "Archive")
			check(t, err)
			moved, err := s.Messages("Archive")
			check(t, err)
			if len(moved) != 1 || string(moved[0].Octets) != "Subject: x\r\n\r\nbody\r\n" || !slices.Equal(moved[0].Flags, []string{`\Seen`}) {
				t.Errorf("moved %+v", moved)
			}
			if left, err := s.Messages("INBOX"); len(left) != 0 || err != nil {
				t.Errorf("left %+v, %v", left, err)
			}
		})
	}
}

// TestIMAPWithOtherClient: the IMAP server, with go-imap's client.
func TestIMAPWithOtherClient(t *testing.T) {
	s := start(t, mailtest.IMAPOptions{})
	a := s.Account("ada")
	for i := range 20 {
		a.Mailbox("INBOX").Add(fmt.Appendf(nil, "Subject: %d\r\n\r\nbody\r\n", i), `\Seen`)
	}
	a.Create("Größe", `\Archive`)
	conn, err := net.Dial("tcp", s.Addr())
	check(t, err)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	c := imapclient.New(conn, nil)
	defer func() { _ = c.Close() }()
	check(t, c.Login("ada", "secret").Wait())
	list, err := c.List("", "*", &goimap.ListOptions{ReturnSpecialUse: true, ReturnStatus: &goimap.StatusOptions{NumMessages: true, UIDNext: true}}).Collect()
	check(t, err)
	if len(list) != 2 || *list[0].Status.NumMessages != 20 || list[1].Mailbox != "Größe" || !slices.Contains(list[1].Attrs, goimap.MailboxAttrArchive) {
		t.Errorf("list %+v", list)
	}
	opened, err := c.Select("INBOX", &goimap.SelectOptions{CondStore: true}).Wait()
	check(t, err)
	if opened.NumMessages != 20 || opened.UIDNext != 21 || opened.HighestModSeq != 21 || opened.UIDValidity != 1001 {
		t.Errorf("opened %+v", opened)
	}
	found, err := c.UIDSearch(&goimap.SearchCriteria{UID: []goimap.UIDSet{{{Start: 5, Stop: 7}}}}, &goimap.SearchOptions{ReturnAll: true, ReturnCount: true}).Wait()
	check(t, err)
	if found.Count != 3 || found.All.String() != "5:7" {
		t.Errorf("found %+v", found)
	}
	otherClientFetches(t, c)
	check(t, c.Store(goimap.UIDSetNum(1, 2), &goimap.StoreFlags{Op: goimap.StoreFlagsAdd, Silent: true, Flags: []goimap.Flag{goimap.FlagDeleted}}, nil).Close())
	gone, err := c.UIDExpunge(goimap.UIDSetNum(2, 3)).Collect()
	check(t, err)
	if !slices.Equal(gone, []uint32{2}) {
		t.Errorf("expunged numbers %v", gone)
	}
	moved, err := c.Move(goimap.UIDSetNum(4, 5), "Größe").Wait()
	check(t, err)
	if moved.UIDValidity != 1002 || moved.SourceUIDs.(goimap.UIDSet).String() != "4:5" {
		t.Errorf("moved %+v", moved)
	}
	idle, err := c.Idle()
	check(t, err)
	a.Mailbox("INBOX").Add([]byte("new\r\n"))
	check(t, idle.Close())
	check(t, idle.Wait())
	check(t, c.Logout().Wait())
	if n := a.Mailbox("INBOX").Len(); n != 18 {
		t.Errorf("%d messages are left", n)
	}
}

func otherClientFetches(t *testing.T, c *imapclient.Client) {
	t.Helper()
	whole := &goimap.FetchItemBodySection{Peek: true}
	header := &goimap.FetchItemBodySection{Specifier: goimap.PartSpecifierHeader, Peek: true}
	rows, err := c.Fetch(goimap.UIDSet{{Start: 1, Stop: 0}}, &goimap.FetchOptions{
		UID: true, Flags: true, InternalDate: true, RFC822Size: true, ModSeq: true, BodySection: []*goimap.FetchItemBodySection{whole, header},
	}).Collect()
	check(t, err)
	for i, row := range rows {
		want := fmt.Sprintf("Subject: %d\r\n\r\nbody\r\n", i)
		if got := string(row.FindBodySection(whole)); got != want || int64(len(want)) != row.RFC822Size || row.UID != goimap.UID(i+1) {
			t.Errorf("row %d: UID %d, %d octets, %q", i, row.UID, row.RFC822Size, got)
		}
		if got := string(row.FindBodySection(header)); got != want[:len(want)-6] {
			t.Errorf("header %q", got)
		}
	}
	if len(rows) != 20 {
		t.Errorf("%d rows", len(rows))
	}
}
