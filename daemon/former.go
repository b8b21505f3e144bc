package daemon

import (
	"postrider/fetch"
	"postrider/remote"
)

// former is a mailbox that was carried once and is not found any more under its
// name, which another one may have by now.
type former struct {
	work fetch.Job
	mark fetch.Mark
}

// formers returns the mailboxes that are not found any more under their names, by
// UIDVALIDITY.
func (j *imapJob) formers(found []remote.Found) (map[uint32][]former, error) {
	there := make(map[string]*remote.Found, len(found))
	for i := range found {
		there[found[i].Name] = &found[i]
	}
	all := map[uint32][]former{}
	for name := range j.places.given {
		work := j.work(name)
		mark, err := fetch.LoadMark(j.shared.Root.Ledger, work)
		if err != nil {
			return nil, err
		}
		if f := there[name]; f != nil && !f.Another(mark) {
			continue
		}
		all[mark.Epoch] = append(all[mark.Epoch], former{work, mark})
	}
	return all, nil
}

// inheritAlone is inherit for the one mailbox of an account.
func (j *imapJob) inheritAlone(t task) error {
	gone, err := j.formers([]remote.Found{t.found})
	if err != nil {
		return err
	}
	return j.inherit(t, gone)
}

// inherit finds out whether a mailbox that is new under its name is one that was
// carried under another: with its UIDVALIDITY, and at least as many UIDs given
// out. Then what is known of that one is known of this.
func (j *imapJob) inherit(t task, formers map[uint32][]former) error {
	if t.found.Status == nil {
		return nil
	}
	var heirs []fetch.Job
	for _, f := range formers[t.found.Status.UIDValidity] {
		if t.found.MayBe(f.mark) {
			heirs = append(heirs, f.work)
		}
	}
	if len(heirs) != 1 {
		return nil
	}
	j.options.Log.Info("a mailbox seems to have another name now: its messages are compared by content before they are taken for new",
		"account", j.account.Name, "folder", t.found.Name, "formerly", heirs[0].Mailbox)
	return fetch.Inherit(j.shared.Root.Ledger, heirs[0], t.work)
}
