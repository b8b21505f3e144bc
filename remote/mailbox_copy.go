package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"postrider/fetch"
	"postrider/imap"
)

// copying is noted, durably, before messages are copied on a server that has no
// MOVE. If the line breaks before it has answered, the note tells where to look
// for the copies: nobody wants them made twice.
type copying struct {
	Epoch   uint32 `json:"epoch"` // of the mailbox
	UIDs    string `json:"uids"`
	To      string `json:"to"`
	ToEpoch uint32 `json:"to_epoch"` // 0: there was no such mailbox
	Next    uint32 `json:"next"`     // copies have this UID or a higher one
}

// look is what a message and its copy have in common (RFC 9051 section 6.4.7).
type look struct{ octets, date int64 }

// transfer moves messages, each of them once.
func (m *Mailbox) transfer(ctx context.Context, uids imap.UIDSet, to imap.Name) (moved imap.Moved, err error) {
	if m.caps.Has("MOVE") {
		return m.client.Move(ctx, uids, to)
	}
	copied, err := m.copiedBefore(ctx, uids, to)
	if err != nil {
		return moved, err
	}
	if rest := uids.Minus(copied); !rest.Empty() {
		if err := m.noteCopying(ctx, rest, to); err != nil {
			return moved, err
		}
		if moved, err = m.client.Move(ctx, rest, to); err != nil {
			return moved, err
		}
	}
	if copied.Empty() {
		return moved, nil
	}
	if err := m.client.Store(ctx, copied, `\Deleted`); err != nil {
		return moved, err
	}
	if !m.caps.Has("UIDPLUS") {
		moved.Left = moved.Left.Union(copied)
		return moved, nil
	}
	return moved, m.client.Expunge(ctx, copied)
}

// noteCopying writes the note. A server that does not tell what it takes gets none.
func (m *Mailbox) noteCopying(ctx context.Context, uids imap.UIDSet, to imap.Name) error {
	note := copying{Epoch: m.epoch(), UIDs: uids.String(), To: m.account.target(), Next: 1}
	const told = imap.StatusUIDNext | imap.StatusUIDValidity
	status, err := m.client.Status(ctx, to, told)
	switch {
	case err != nil && !answered(err):
		return err
	case err == nil && status.Has&told != told:
		return nil
	case err == nil:
		note.ToEpoch, note.Next = status.UIDValidity, status.UIDNext
	}
	return m.account.remember(func(k *imapMemory) {
		notes := k.notes()
		notes[m.name] = note
		// It has only numbers and strings in it.
		text, _ := json.Marshal(notes)
		k.Copying = string(text)
	})
}

// notes returns the notes by mailbox.
func (k imapMemory) notes() map[string]copying {
	notes := map[string]copying{}
	if json.Unmarshal([]byte(k.Copying), &notes) != nil {
		return map[string]copying{}
	}
	return notes
}

// copiedBefore returns those of the messages of which the copies are there, made
// in a session that broke.
func (m *Mailbox) copiedBefore(ctx context.Context, uids imap.UIDSet, to imap.Name) (imap.UIDSet, error) {
	note, ok := m.account.recall().notes()[m.name]
	if !ok || note.Epoch != m.epoch() || note.To != m.account.target() {
		return nil, nil
	}
	noted, err := imap.ParseUIDSet(note.UIDs)
	if err != nil || noted.Intersect(uids).Empty() {
		return nil, nil
	}
	originals, err := m.looks(ctx, noted.Intersect(uids))
	if err != nil {
		return nil, err
	}
	copies, err := m.copies(ctx, note, to)
	if err != nil {
		return nil, err
	}
	var copied []uint32
	for uid, l := range originals {
		if copies[l] > 0 {
			copies[l]--
			copied = append(copied, uid)
		}
	}
	return imap.UIDs(copied...), nil
}

// copies counts what has come into the other mailbox since the note was made, and
// returns to this one.
func (m *Mailbox) copies(ctx context.Context, note copying, to imap.Name) (map[look]int, error) {
	there, err := m.client.Select(ctx, to, imap.SelectOptions{ReadOnly: true})
	if err != nil && !answered(err) {
		return nil, err
	}
	copies := map[look]int{}
	if err == nil && (note.ToEpoch == 0 || note.ToEpoch == there.UIDValidity) {
		since, err := m.looks(ctx, imap.From(note.Next))
		if err != nil {
			return nil, err
		}
		for uid, l := range since {
			if uid >= note.Next {
				copies[l]++
			}
		}
	}
	back, err := m.client.Select(ctx, m.selectName, m.selectOptions(fetch.Mark{}))
	if err != nil {
		return nil, fmt.Errorf("open mailbox %s again: %w", m.name, err)
	}
	if back.UIDValidity != m.selected.UIDValidity || back.ReadOnly {
		return nil, errors.New("the mailbox is not what it was when it was opened")
	}
	return copies, nil
}

// looks returns what messages look like, of which the server says enough.
func (m *Mailbox) looks(ctx context.Context, uids imap.UIDSet) (map[uint32]look, error) {
	looks := map[uint32]look{}
	_, err := m.client.FetchAttributes(ctx, imap.AttributesRequest{UIDs: uids, Items: imap.ItemSize | imap.ItemDate}, func(msg *imap.Message) error {
		if msg.UID != 0 && msg.Has&imap.ItemSize != 0 && !msg.Date.IsZero() {
			looks[msg.UID] = look{msg.Octets, msg.Date.Unix()}
		}
		return nil
	})
	return looks, err
}
