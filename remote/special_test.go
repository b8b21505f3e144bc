package remote

import "testing"

func TestSpecial(t *testing.T) {
	for name, tt := range map[string]struct {
		listed string
		want   []use
	}{
		"attributes, whatever the name": {`
			/ | Trash | \Junk
			/ | a | \HasNoChildren \sent \Sent
			/ | b | \DRAFTS
			/ | c | \Archive
			/ | d | \Trash
			/ | e | \All
			/ | f | \Flagged
			/ | g | \Important
			/ | h | \Marked`,
			[]use{useJunk, useSent, useDrafts, useArchive, useTrash, useAll, useFlagged, useImportant, noUse}},
		"a view is one whatever else it is": {`/ | a | \Archive \All`, []use{useAll}},
		"XLIST": {`
			/ | [Gmail]/a | \AllMail
			/ | [Gmail]/b | \Spam
			/ | [Gmail]/c | \Starred`, []use{useAll, useJunk, useFlagged}},
		"names": {`
			. | INBOX
			. | Sent Items
			. | INBOX.Drafts
			. | INBOX.Trash.Sent
			. | Lists.Spam
			. | junk
			. | ARCHIVES
			. | Sending
			. | All Mail`,
			[]use{noUse, useSent, useDrafts, noUse, noUse, useJunk, useArchive, noUse, noUse}},
		"names, for what no attribute was given": {`
			/ | Sent
			/ | Verschickt | \Sent
			/ | Entwürfe`,
			[]use{noUse, useSent, useDrafts}},
		"163": {`
			/ | INBOX
			/ | 草稿箱
			/ | 已发送
			/ | 已删除
			/ | 垃圾邮件
			/ | 病毒文件夹`, []use{noUse, useDrafts, useSent, useTrash, useJunk, noUse}},
		"QQ": {`
			/ | Sent Messages
			/ | Drafts
			/ | Deleted Messages
			/ | Junk
			/ | 其他文件夹`, []use{useSent, useDrafts, useTrash, useJunk, noUse}},
		"no levels": {`
			"" | ENTWÜRFE
			"" | INBOX.Sent
			"" | Éléments envoyés`, []use{useDrafts, noUse, useSent}},
		"Gmail in many languages": {`
			/ | [Gmail]/Tous les messages
			/ | [Gmail]/Todos
			/ | [Gmail]/Tutti i messaggi
			/ | [Gmail]/Todo o correio
			/ | [Gmail]/Alle berichten
			/ | [Gmail]/Wszystkie
			/ | [Gmail]/Вся почта
			/ | [Gmail]/すべてのメール
			/ | [Gmail]/所有邮件
			/ | [Gmail]/全部郵件
			/ | [Google Mail]/Markiert
			/ | [Gmail]/Oznaczone gwiazdką
			/ | [Gmail]/Важное
			/ | [Gmail]/重要
			/ | [Gmail]/Messages envoyés
			/ | [Gmail]/寄件備份
			/ | [Gmail]/Lixeira
			/ | [Gmail]/mine`,
			[]use{useAll, useAll, useAll, useAll, useAll, useAll, useAll, useAll, useAll, useAll,
				useFlagged, useFlagged, useImportant, useImportant, useSent, useSent, useTrash, noUse}},
		"no view outside of Gmail": {`
			/ | Todos
			/ | INBOX/Important
			/ | Starred
			/ | x/[Gmail]/Starred`, []use{noUse, noUse, noUse, noUse}},
	} {
		t.Run(name, func(t *testing.T) {
			all := listed(tt.listed)
			if len(all) != len(tt.want) {
				t.Fatalf("%d mailboxes, %d uses", len(all), len(tt.want))
			}
			for i, m := range all {
				if got := special(m, all); got != tt.want[i] {
					t.Errorf("%s: got %q, want %q", m.Name, got, tt.want[i])
				}
			}
		})
	}
}
