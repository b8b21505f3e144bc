package fetch

import "postrider/ledger"

// Inherit gives a mailbox that was never carried what is known of another one,
// which it seems to be under a new name. All its messages are then compared by
// content before they are taken for new.
func Inherit(l *ledger.Ledger, from, to Job) error {
	old, err := l.Mailbox(from.id())
	if err != nil {
		return err
	}
	heir, err := l.Mailbox(to.id())
	if err != nil {
		return err
	}
	places := make([]int, 0, old.Len())
	for place := range old.Places() {
		if r, ok := old.At(place); ok && r.Gone.IsZero() {
			places = append(places, place)
		}
	}
	digests, err := old.Digests(places)
	if err != nil {
		return err
	}
	for i, place := range places {
		r, _ := old.At(place)
		r.Content = digests[i]
		heir.Add(r)
	}
	return l.Commit(heir.Save)
}
