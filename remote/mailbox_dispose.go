package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"postrider/configs"
	"postrider/fetch"
	"postrider/imap"
)

// errStillThere says that the server confirmed what it did not do.
var errStillThere = errors.New("the server said that it removed the message, and still has it")

// moveTo is the mailbox into which delivered mail is moved; empty if none is.
func (a *IMAP) moveTo() string {
	if a.box.OnServer.Action != configs.Move {
		return ""
	}
	return a.box.OnServer.Folder
}

// target is moveTo as the server has it: "/" stands for the delimiter, as in
// patterns.
func (a *IMAP) target() string {
	delimiter := a.recall().Delimiter
	name := a.moveTo()
	if delimiter != "" {
		name = strings.ReplaceAll(name, "/", delimiter)
	}
	return capitalInbox(name, delimiter)
}

// Dispose implements fetch.Source. The messages are named by UID, in a session
// whose UIDVALIDITY the ledger knows.
func (m *Mailbox) Dispose(ctx context.Context, numbers []int, each func(number int, err error)) error {
	uids := make([]uint32, len(numbers))
	for i, n := range numbers {
		uids[i] = uint32(n)
	}
	outcome, err := m.dispose(ctx, imap.UIDs(uids...))
	if err != nil && !answered(err) && !errors.Is(err, errors.ErrUnsupported) {
		return m.failed("do what on_server says", err)
	}
	for _, n := range numbers {
		switch why, special := outcome[uint32(n)]; {
		case err != nil:
			each(n, err)
		case special:
			each(n, why)
		default:
			each(n, nil)
		}
	}
	return nil
}

// dispose returns what became of the messages of which not all was done.
func (m *Mailbox) dispose(ctx context.Context, uids imap.UIDSet) (outcome map[uint32]error, err error) {
	if m.selected.ReadOnly {
		return nil, fmt.Errorf("the server opens %s for reading only: %w", m.name, errors.ErrUnsupported)
	}
	switch m.account.box.OnServer.Action {
	case configs.Seen:
		return nil, m.client.Store(ctx, uids, `\Seen`)
	case configs.Move:
		return m.move(ctx, uids)
	}
	if err := m.client.Store(ctx, uids, `\Deleted`); err != nil {
		return nil, err
	}
	if !m.caps.Has("UIDPLUS") {
		// A bare EXPUNGE would remove what others have marked.
		if m.account.once("no UIDPLUS") {
			m.account.log.Warn(`the server cannot remove single messages (it has no UIDPLUS): they are marked as \Deleted and stay until something expunges them`)
		}
		return every(uids, fetch.ErrStays), nil
	}
	if err := m.client.Expunge(ctx, uids); err != nil {
		return nil, err
	}
	return m.stillThere(ctx, uids)
}

func (m *Mailbox) move(ctx context.Context, uids imap.UIDSet) (map[uint32]error, error) {
	to := m.client.Name(m.account.target())
	moved, err := m.transfer(ctx, uids, to)
	var refusal *imap.ResponseError
	if errors.As(err, &refusal) && refusal.Code == "TRYCREATE" {
		m.account.log.LogAttrs(ctx, slog.LevelInfo, "making the mailbox that delivered mail is moved to", slog.String("folder", m.account.moveTo()))
		if err := m.client.Create(ctx, to); err != nil && !answered(err) {
			return nil, err
		}
		moved, err = m.transfer(ctx, uids, to)
	}
	if errors.As(err, &refusal) && refusal.Code == "" && !strings.HasPrefix(m.account.target(), "INBOX") {
		return nil, fmt.Errorf("move to %s (is the name in full? Some servers have all mailboxes below INBOX): %w", m.account.moveTo(), err)
	}
	if err != nil {
		return nil, err
	}
	if !moved.Left.Empty() {
		if m.account.once("no UIDPLUS") {
			m.account.log.Warn(`the server cannot remove single messages (it has neither MOVE nor UIDPLUS): moved messages are copied, marked as \Deleted, and stay until something expunges them`)
		}
		return every(moved.Left, fetch.ErrStays), nil
	}
	return m.stillThere(ctx, uids)
}

// stillThere looks for messages that should be gone: not every server does
// what it says it has done.
func (m *Mailbox) stillThere(ctx context.Context, uids imap.UIDSet) (map[uint32]error, error) {
	there, err := m.client.Search(ctx, uids)
	if err != nil {
		if answered(err) {
			return nil, nil // what it said must do
		}
		return nil, err
	}
	return every(there, errStillThere), nil
}

func every(uids imap.UIDSet, err error) map[uint32]error {
	all := map[uint32]error{}
	for uid := range uids.All() {
		all[uid] = err
	}
	return all
}
