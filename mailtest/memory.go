package mailtest

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
)

// IMAPMemory is the memory server of go-imap on a loopback port: an IMAP server
// that others wrote, with one user.
type IMAPMemory struct {
	listener net.Listener
	inside   net.Listener // in clear, for Messages
	user     *imapmemserver.User
	o        IMAPMemoryOptions
}

// IMAPMemoryOptions say how the server is reached.
type IMAPMemoryOptions struct {
	TLS            *tls.Config // nil: none
	Implicit       bool        // TLS from the first octet, else by STARTTLS
	User, Password string      // "ada" and "secret" if empty
	Log            io.Writer   // gets what went over the line; for tests only
}

// StartIMAPMemory serves until the test ends. There is an INBOX.
func StartIMAPMemory(tb testing.TB, o IMAPMemoryOptions) *IMAPMemory {
	tb.Helper()
	if o.User == "" {
		o.User, o.Password = "ada", "secret"
	}
	m := &IMAPMemory{user: imapmemserver.NewUser(o.User, o.Password), o: o}
	if err := m.Create("INBOX"); err != nil {
		tb.Fatal(err)
	}
	backend := imapmemserver.New()
	backend.AddUser(m.user)
	m.listener = serveIMAPMemory(tb, backend, o)
	m.inside = serveIMAPMemory(tb, backend, IMAPMemoryOptions{})
	return m
}

func serveIMAPMemory(tb testing.TB, backend *imapmemserver.Server, o IMAPMemoryOptions) net.Listener {
	tb.Helper()
	options := &imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return backend.NewSession(), nil, nil
		},
		Caps:         imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}},
		InsecureAuth: o.TLS == nil || o.Implicit,
		Logger:       log.New(io.Discard, "", 0),
		DebugWriter:  o.Log,
	}
	if !o.Implicit {
		options.TLSConfig = o.TLS
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("start IMAP memory server: %v", err)
	}
	served := listener
	if o.Implicit {
		served = tls.NewListener(listener, o.TLS)
	}
	server := imapserver.New(options)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(served)
	}()
	tb.Cleanup(func() {
		_ = server.Close()
		_ = listener.Close() // if Serve had not begun
		<-done
	})
	return listener
}

// Addr is the server's address, host and port.
func (m *IMAPMemory) Addr() string { return m.listener.Addr().String() }

// Port is the server's port.
func (m *IMAPMemory) Port() int { return m.listener.Addr().(*net.TCPAddr).Port }

// Create makes a mailbox.
func (m *IMAPMemory) Create(name string) error {
	if err := m.user.Create(name, nil); err != nil {
		return fmt.Errorf("create %q: %w", name, err)
	}
	return nil
}

// Append adds a message and returns its UID.
func (m *IMAPMemory) Append(mailbox string, octets []byte, date time.Time, flags ...string) (uid uint32, err error) {
	options := &imap.AppendOptions{Time: date}
	for _, f := range flags {
		options.Flags = append(options.Flags, imap.Flag(f))
	}
	data, err := m.user.Append(mailbox, bytes.NewReader(octets), options)
	if err != nil {
		return 0, fmt.Errorf("append to %q: %w", mailbox, err)
	}
	return uint32(data.UID), nil
}

// Messages returns what is in a mailbox now, as go-imap's own client reads it.
func (m *IMAPMemory) Messages(mailbox string) ([]IMAPMessage, error) {
	conn, err := net.Dial("tcp", m.inside.Addr().String())
	if err != nil {
		return nil, fmt.Errorf("look into %q: %w", mailbox, err)
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	c := imapclient.New(conn, nil)
	defer func() { _ = c.Close() }()
	list, err := m.read(c, mailbox)
	if err != nil {
		return nil, fmt.Errorf("look into %q: %w", mailbox, err)
	}
	return list, nil
}

func (m *IMAPMemory) read(c *imapclient.Client, mailbox string) ([]IMAPMessage, error) {
	if err := c.Login(m.o.User, m.o.Password).Wait(); err != nil {
		return nil, err
	}
	opened, err := c.Select(mailbox, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil || opened.NumMessages == 0 {
		return nil, err
	}
	whole := &imap.FetchItemBodySection{Peek: true}
	rows, err := c.Fetch(imap.SeqSet{{Start: 1, Stop: opened.NumMessages}}, &imap.FetchOptions{
		UID: true, Flags: true, InternalDate: true, BodySection: []*imap.FetchItemBodySection{whole},
	}).Collect()
	if err != nil {
		return nil, err
	}
	list := make([]IMAPMessage, len(rows))
	for i, row := range rows {
		list[i] = IMAPMessage{UID: uint32(row.UID), Octets: row.FindBodySection(whole), Date: row.InternalDate}
		for _, f := range row.Flags {
			list[i].Flags = append(list[i].Flags, string(f))
		}
	}
	return list, nil
}
