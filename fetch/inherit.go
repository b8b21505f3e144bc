package fetch

import "postrider/ledger"

// Inherit gives a mailbox that was never carried under its name, or not since it
// lost it, what is known of another one, which it seems to be. All its messages
// are then compared by content before they are taken for new. The other one loses
// its mark: if it gets its name back, it inherits in its turn what came meanwhile.
func Inherit(l *ledger.Ledger, from, to Job) error {
	old, err := l.Mailbox(from.id())
	if err != nil {
		return err
	}
	heir, err := l.Mailbox(to.id())
	if err != nil {
		return err
	}
	mine, err := contents(heir, false)
	if err != nil {
		return err
	}
	has := map[ledger.Digest]int{}
	for _, r := range mine {
		has[r.Content]++
	}
	its, err := contents(old, true)
	if err != nil {
		return err
	}
	for _, r := range its {
		if has[r.Content] > 0 {
			// Known twice, it would stand for a second message of this content, which then never came.
			has[r.Content]--
			continue
		}
		heir.Add(r)
	}
	return l.Commit(func(t *ledger.Tx) error {
		if err := t.Remember(markName(from), nil); err != nil {
			return err
		}
		return heir.Save(t)
	})
}

// contents returns the records of a mailbox with what they can be compared by: of
// all messages of which that is known, or of those that were not seen to go.
func contents(m *ledger.Mailbox, there bool) ([]ledger.Record, error) {
	var places []int
	for place := range m.Places() {
		if r, ok := m.At(place); ok && (!there || r.Gone.IsZero()) {
			places = append(places, place)
		}
	}
	digests, err := m.Digests(places)
	if err != nil {
		return nil, err
	}
	var records []ledger.Record
	for i, place := range places {
		if digests[i] == (ledger.Digest{}) {
			continue
		}
		r, _ := m.At(place)
		r.Content = digests[i]
		records = append(records, r)
	}
	return records, nil
}
