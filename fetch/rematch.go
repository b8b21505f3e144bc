package fetch

import (
	"time"

	"postrider/ledger"
)

// dropKnown takes out the messages that turn out, by their content, to have
// been delivered before: under another identifier, with another announced
// size, or from a server that gives no identifiers. Each content on record
// stands for one message only, so that of two equal messages that are new one
// is never taken for the other.
func (d *delivery) dropKnown(items []*item) ([]*item, error) {
	kept := items[:0]
	for i, it := range items {
		known, err := d.wasDelivered(it)
		if err != nil {
			return nil, d.giveUp(append(kept, items[i:]...), err)
		}
		if !known {
			kept = append(kept, it)
			continue
		}
		d.line.log.Debug("delivered before", d.line.job.LogUID, it.uid, "number", it.Number)
		d.line.known.ClearAside(it.key)
		d.line.noteTwin(it.twin)
		d.total.Matched++
		d.line.progress.Message()
		it.discard(d.line)
	}
	return kept, nil
}

func (d *delivery) wasDelivered(it *item) (bool, error) {
	content := digest(it.file)
	if it.noUID && d.identifyByContent(it, content) {
		return true, nil
	}
	if len(it.candidates) > 0 {
		digests, err := d.line.known.Digests(it.candidates)
		if err != nil {
			return false, &LocalError{err}
		}
		for i, place := range it.candidates {
			r, _ := d.line.known.At(place)
			unknown := digests[i] == ledger.Digest{} && sameSize(r.Octets, it.Octets)
			if (digests[i] == content || unknown) && d.plan.number(place) == 0 {
				d.isThere(place, it)
				return true, nil
			}
		}
	}
	if it.next > 0 && d.plan.number(it.next-1) == 0 {
		// One with the same identifier before it may have gone without ever having been delivered.
		digests, err := d.line.known.Digests([]int{it.next - 1})
		if err != nil {
			return false, &LocalError{err}
		}
		if digests[0] == content {
			d.rename(it.next-1, it, content)
			return true, nil
		}
	}
	places := d.plan.gone[content]
	if len(places) == 0 {
		return false, nil
	}
	d.plan.gone[content] = places[1:]
	if d.plan.number(places[0]) != 0 {
		return d.wasDelivered(it) // another message of this list has it by now
	}
	d.rename(places[0], it, content)
	return true, nil
}

// rename gives the known message at a place the key under which it is listed
// now.
func (d *delivery) rename(place int, it *item, content ledger.Digest) {
	old, _ := d.line.known.At(place)
	d.line.known.Forget(place)
	old.Key, old.Octets, old.Content = it.key, it.Octets, content
	d.plan.see(d.line.known.Add(old), it.Number)
}

// identifyByContent gives a message without identifier its key: the content,
// and how many of the same content came before it in this session.
func (d *delivery) identifyByContent(it *item, content ledger.Digest) bool {
	d.line.known.ClearAside(it.key) // it stood for a number of this session only, and the message is here
	for {
		n := d.plan.same[content]
		d.plan.same[content]++
		it.key = d.line.origins.byContent(content, n)
		place, known := d.line.known.Find(it.key)
		if !known {
			place, known = d.line.known.Adopt(it.key, it.Octets, time.Now())
		}
		if known && d.plan.number(place) != 0 {
			continue
		}
		if known {
			d.isThere(place, it)
		}
		return known
	}
}

// isThere notes that the known message at a place is the one that was fetched.
func (d *delivery) isThere(place int, it *item) {
	if r, _ := d.line.known.At(place); r.Octets != it.Octets || !r.Gone.IsZero() {
		d.line.known.SetThere(place, it.Octets)
	}
	d.plan.see(place, it.Number)
}
