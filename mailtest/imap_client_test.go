package mailtest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"

	"postrider/imap"
	"postrider/mailtest"
)

// These tests talk to the IMAP server with the module's own client, which knows
// nothing of it.

func start(tb testing.TB, o mailtest.IMAPOptions) *mailtest.IMAP {
	tb.Helper()
	o.Users = map[string]string{"ada": "secret"}
	s := mailtest.NewIMAP(o)
	if err := s.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func connect(tb testing.TB, s *mailtest.IMAP, o imap.Options) *imap.Client {
	tb.Helper()
	conn, err := net.DialTimeout("tcp", s.Addr(), 10*time.Second)
	if err != nil {
		tb.Fatal(err)
	}
	if o.Timeout == 0 {
		o.Timeout = 20 * time.Second
	}
	c, err := imap.New(tb.Context(), conn, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

func enter(tb testing.TB, s *mailtest.IMAP, o imap.Options) *imap.Client {
	tb.Helper()
	c := connect(tb, s, o)
	check(tb, c.Login(tb.Context(), "ada", "secret"))
	return c
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// texts is a receiver that keeps what comes, and what does not.
type texts struct {
	got     map[uint32]string
	order   []uint32
	failed  map[uint32]error
	missing map[string]error
	current bytes.Buffer
}

func newTexts() *texts {
	return &texts{got: map[uint32]string{}, failed: map[uint32]error{}, missing: map[string]error{}}
}

func (r *texts) Begin(*imap.Message) (io.Writer, error) {
	r.current.Reset()
	return &r.current, nil
}

func (r *texts) End(m *imap.Message, err error) error {
	if err != nil {
		r.failed[m.UID] = err
		return nil
	}
	r.got[m.UID] = r.current.String()
	r.order = append(r.order, m.UID)
	return nil
}

func (r *texts) Missing(uids imap.UIDSet, err error) error {
	r.missing[uids.String()] = err
	return nil
}

func fetchTexts(tb testing.TB, c *imap.Client, uids imap.UIDSet) *texts {
	tb.Helper()
	r := newTexts()
	check(tb, c.Fetch(tb.Context(), imap.FetchRequest{UIDs: uids, Items: imap.ItemFlags | imap.ItemSize | imap.ItemDate}, r))
	return r
}

func TestIMAPWithClient(t *testing.T) {
	ctx := t.Context()
	s := start(t, mailtest.IMAPOptions{Mechanisms: []string{"PLAIN", "SCRAM-SHA-256", "XOAUTH2"}})
	a := s.Account("ada")
	var wires []string
	for _, m := range mailtest.Embedded() {
		wire := mailtest.Wire(m.Octets)
		wires = append(wires, string(wire))
		a.Mailbox("INBOX").Add(wire)
	}
	a.Mailbox("Ärger/日本 & so")
	a.Create("Weg", `\Trash`)
	c := connect(t, s, imap.Options{})
	check(t, c.Authenticate(ctx, sasl.NewPlainClient("", "ada", "secret")))
	if _, err := c.ID(ctx, map[string]string{"name": "test"}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Enable(ctx, "QRESYNC"); err != nil || !slices.Contains(got, "QRESYNC") {
		t.Fatalf("enabled %v, %v", got, err)
	}
	check(t, c.Compress(ctx))
	list, err := c.List(ctx, imap.ListRequest{Patterns: []string{"*"}, Status: imap.StatusMessages | imap.StatusUIDNext | imap.StatusSize})
	check(t, err)
	if len(list) != 4 || list[0].Status.Messages != uint32(len(wires)) || list[1].Name != "Weg" || !list[1].Is(`\Trash`) ||
		list[2].Name != "Ärger" || list[2].Selectable() || list[3].Name != "Ärger/日本 & so" {
		t.Errorf("list %+v", list)
	}
	opened, err := c.Select(ctx, c.Name("INBOX"), imap.SelectOptions{})
	check(t, err)
	if opened.Exists != uint32(len(wires)) || opened.UIDValidity != a.Mailbox("INBOX").UIDValidity() ||
		opened.UIDNext != a.Mailbox("INBOX").UIDNext() || opened.HighestModSeq != a.Mailbox("INBOX").HighestModSeq() {
		t.Errorf("selected %+v", opened)
	}
	all, err := c.Search(ctx, imap.From(1))
	check(t, err)
	if all.Count() != int64(len(wires)) {
		t.Errorf("search %v", all)
	}
	r := fetchTexts(t, c, all)
	for i, wire := range wires {
		if r.got[uint32(i+1)] != wire {
			t.Errorf("message %d differs", i+1)
		}
	}
	if len(r.failed)+len(r.missing) > 0 {
		t.Errorf("failed %v, missing %v", r.failed, r.missing)
	}
	clientDisposes(t, c, a, len(wires))
	check(t, c.Logout(ctx))
}

// clientDisposes stores, expunges, moves and appends.
func clientDisposes(t *testing.T, c *imap.Client, a *mailtest.IMAPAccount, n int) {
	ctx := t.Context()
	inbox, trash := a.Mailbox("INBOX"), a.Mailbox("Weg")
	check(t, c.Store(ctx, imap.UIDs(1, 2), `\Deleted`))
	check(t, c.Expunge(ctx, imap.UIDs(2, 3)))
	moved, err := c.Move(ctx, imap.UIDs(3, 4, 99), c.Name("Weg"))
	check(t, err)
	if moved.From.String() != "3:4" || moved.To.String() != "1:2" || moved.UIDValidity != trash.UIDValidity() {
		t.Errorf("moved %+v", moved)
	}
	if inbox.Len() != n-3 || trash.Len() != 2 || !slices.Contains(inbox.Messages()[0].Flags, `\Deleted`) {
		t.Errorf("%d in INBOX, %d moved", inbox.Len(), trash.Len())
	}
	text := "Subject: sent\r\n\r\n.\r\n"
	at, err := c.Append(ctx, c.Name("Weg"), []string{`\Seen`}, time.Unix(1_000_000_000, 0), int64(len(text)), bytes.NewBufferString(text))
	check(t, err)
	if got := trash.Messages()[2]; at.UID != 3 || string(got.Octets) != text || got.Date.Unix() != 1_000_000_000 || !slices.Equal(got.Flags, []string{`\Seen`}) {
		t.Errorf("appended %+v as %+v", at, got)
	}
}

// TestIMAPManySessions: sessions that read, mark and remove at once agree in the
// end, and nobody reads another message than he asked for.
func TestIMAPManySessions(t *testing.T) {
	const sessions, each = 8, 30
	s := start(t, mailtest.IMAPOptions{})
	inbox := s.Account("ada").Mailbox("INBOX")
	for i := range sessions * each {
		inbox.Add(fmt.Appendf(nil, "message %d\r\n", i+1))
	}
	clients := make([]*imap.Client, sessions)
	for i := range clients {
		clients[i] = enter(t, s, imap.Options{})
	}
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() {
			ctx := t.Context()
			if _, err := c.Select(ctx, "INBOX", imap.SelectOptions{}); err != nil {
				t.Error(err)
				return
			}
			for n := range each {
				uid := uint32(n*sessions + i + 1)
				r := newTexts()
				if err := c.Fetch(ctx, imap.FetchRequest{UIDs: imap.UIDs(uid)}, r); err != nil || r.got[uid] != fmt.Sprintf("message %d\r\n", uid) {
					t.Errorf("UID %d: %q, %v", uid, r.got[uid], err)
					return
				}
				if uid%2 == 0 {
					continue
				}
				if err := c.Store(ctx, imap.UIDs(uid), `\Deleted`); err != nil {
					t.Error(err)
				}
				if err := c.Expunge(ctx, imap.UIDs(uid)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := inbox.Len(); got != sessions*each/2 {
		t.Errorf("%d messages are left", got)
	}
	for _, m := range inbox.Messages() {
		if m.UID%2 != 0 {
			t.Errorf("UID %d is left", m.UID)
		}
	}
}

// TestIMAPIdleWithClient: news come at once, also of mailboxes that are not open.
func TestIMAPIdleWithClient(t *testing.T) {
	s := start(t, mailtest.IMAPOptions{})
	a := s.Account("ada")
	inbox, lists := a.Mailbox("INBOX"), a.Mailbox("Lists")
	c := enter(t, s, imap.Options{})
	_, err := c.Select(t.Context(), "INBOX", imap.SelectOptions{})
	check(t, err)
	check(t, c.Notify(t.Context(), imap.NotifyRequest{Personal: true}))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	inbox.Add([]byte("before IDLE\r\n"))
	var got []string
	check(t, c.Idle(ctx, 0, func(e imap.Event) bool {
		switch e.Kind {
		case imap.EventExists:
			got = append(got, fmt.Sprint("exists ", e.Number))
			lists.Add([]byte("elsewhere\r\n"))
		case imap.EventStatus:
			got = append(got, fmt.Sprint("status ", e.Mailbox.Name, " ", e.Status.Messages))
			a.Rename("Lists", "Listen")
		case imap.EventMailbox:
			got = append(got, "mailbox "+e.Mailbox.Name)
			return false
		}
		return true
	}))
	if want := []string{"exists 1", "status Lists 1", "mailbox Listen"}; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	check(t, c.Noop(t.Context()))
}

func TestIMAPImplicitTLSAndLatency(t *testing.T) {
	ca, err := mailtest.NewCA()
	check(t, err)
	config, err := ca.Server()
	check(t, err)
	const latency = 30 * time.Millisecond
	s := start(t, mailtest.IMAPOptions{TLS: config, Implicit: true, Latency: latency})
	for i := range 300 {
		s.Account("ada").Mailbox("INBOX").Add(fmt.Appendf(nil, "%d\r\n", i))
	}
	conn, err := tls.Dial("tcp", s.Addr(), ca.ClientTLS("localhost"))
	check(t, err)
	c, err := imap.New(t.Context(), conn, imap.Options{})
	check(t, err)
	defer func() { _ = c.Close() }()
	check(t, c.Login(t.Context(), "ada", "secret"))
	_, err = c.Select(t.Context(), "INBOX", imap.SelectOptions{})
	check(t, err)
	before, began := s.Counts().Flights, time.Now()
	for range 4 {
		check(t, c.Noop(t.Context()))
	}
	if flights := s.Counts().Flights - before; flights != 4 || time.Since(began) < 4*latency {
		t.Errorf("4 commands took %d flights and %v", flights, time.Since(began))
	}
	if r := fetchTexts(t, c, imap.UIDSet{{First: 1, Last: 300}}); len(r.got) != 300 {
		t.Errorf("%d messages", len(r.got))
	}
}

func BenchmarkIMAPFetch(b *testing.B) {
	s := start(b, mailtest.IMAPOptions{})
	text := bytes.Repeat([]byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n"), 64)
	for range 5000 {
		s.Account("ada").Mailbox("INBOX").Add(text)
	}
	c := enter(b, s, imap.Options{})
	_, err := c.Select(b.Context(), "INBOX", imap.SelectOptions{})
	check(b, err)
	b.SetBytes(5000 * int64(len(text)))
	for b.Loop() {
		r := &counter{}
		check(b, c.Fetch(b.Context(), imap.FetchRequest{UIDs: imap.UIDSet{{First: 1, Last: 5000}}, Items: imap.ItemFlags | imap.ItemSize}, r))
		if r.n != 5000 {
			b.Fatalf("%d messages", r.n)
		}
	}
	b.ReportMetric(5000*float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

type counter struct{ n int }

func (c *counter) Begin(*imap.Message) (io.Writer, error) { return io.Discard, nil }

func (c *counter) End(_ *imap.Message, err error) error {
	if err == nil {
		c.n++
	}
	return err
}

func (c *counter) Missing(_ imap.UIDSet, err error) error { return err }
