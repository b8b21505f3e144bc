package remote

// gmailView knows Gmail's names for its views, in small letters: English, German,
// French, Spanish, Italian, Portuguese (of Brazil, of Portugal), Dutch, Polish,
// Russian, Japanese, Chinese (simplified, traditional).
func gmailView(name string) use {
	switch name {
	case "all mail",
		"alle nachrichten",
		"tous les messages",
		"todos",
		"tutti i messaggi",
		"todos os e-mails", "todos os emails", "todo o correio",
		"alle berichten", "alle e-mail", "alle e-mails",
		"wszystkie",
		"вся почта",
		"すべてのメール",
		"所有邮件",
		"所有郵件", "全部郵件":
		return useAll
	case "starred",
		"markiert",
		"suivis",
		"destacados",
		"speciali",
		"com estrela",
		"met ster",
		"oznaczone gwiazdką",
		"помеченные",
		"スター付き",
		"已加星标", "已加注星标",
		"已加星號":
		return useFlagged
	case "important", // French, too
		"wichtig",
		"importantes",
		"importanti",
		"importante",
		"belangrijk",
		"ważne",
		"важное",
		"重要", // Japanese and Chinese
		"重要邮件",
		"重要郵件":
		return useImportant
	}
	return noUse
}

// knownUse knows the names that Gmail, Exchange, Dovecot's examples, the large
// Chinese providers and common mail readers give, in small letters and in the
// same languages.
func knownUse(name string) use {
	switch name {
	case "sent", "sent mail", "sent items", "sent messages", "sent-mail", "sent objects",
		"gesendet", "gesendete elemente", "gesendete objekte", "gesendete nachrichten",
		"messages envoyés", "éléments envoyés", "objets envoyés", "envoyés", "courrier envoyé",
		"enviados", "elementos enviados", "mensajes enviados", "correo enviado",
		"posta inviata", "inviata", "inviati", "messaggi inviati",
		"e-mails enviados", "emails enviados", "itens enviados", "correio enviado", "mensagens enviadas",
		"verzonden", "verzonden berichten", "verzonden items", "verzonden objecten",
		"wysłane", "elementy wysłane",
		"отправленные", "исходящие сообщения",
		"送信済み", "送信済みメール", "送信済みアイテム", "送信済みトレイ",
		"已发送", "已发邮件", "已发送邮件",
		"寄件備份", "寄件備份匣", "已傳送", "已傳送的郵件":
		return useSent
	case "drafts", "draft",
		"entwürfe", "entwurf",
		"brouillons", "brouillon",
		"borradores",
		"bozze",
		"rascunhos",
		"concepten",
		"wersje robocze", "szkice", "robocze",
		"черновики",
		"下書き",
		"草稿", "草稿箱", "草稿夹",
		"草稿匣":
		return useDrafts
	case "junk", "spam", "junk mail", "junk email", "junk e-mail", "bulk mail", "bulk",
		"junk-e-mail", "spamverdacht", "unerwünscht", "werbung und spam",
		"courrier indésirable", "indésirables", "pourriel",
		"correo no deseado", "no deseado",
		"posta indesiderata", "indesiderata",
		"lixo eletrônico", "lixo electrónico", "correio eletrónico não solicitado",
		"ongewenste e-mail", "ongewenst",
		"wiadomości-śmieci", "wiadomości śmieci", "niechciane",
		"спам", "нежелательная почта",
		"迷惑メール",
		"垃圾邮件", "垃圾箱",
		"垃圾郵件", "垃圾信件匣":
		return useJunk
	case "trash", "bin", "deleted", "deleted items", "deleted messages",
		"papierkorb", "gelöscht", "gelöschte elemente", "gelöschte objekte",
		"corbeille", "éléments supprimés",
		"papelera", "elementos eliminados",
		"cestino", "posta eliminata",
		"lixeira", "lixo", "itens excluídos", "itens eliminados",
		"prullenbak", "verwijderde items",
		"kosz", "elementy usunięte", "usunięte",
		"корзина", "удаленные", "удалённые",
		"ゴミ箱", "削除済みアイテム",
		"已删除", "已删除邮件",
		"垃圾桶", "刪除的郵件", "回收筒":
		return useTrash
	case "archive", "archives", "archived",
		"archiv",
		"archivo",
		"archivio",
		"arquivo",
		"archief",
		"archiwum",
		"архив",
		"アーカイブ",
		"归档", "存档",
		"封存":
		return useArchive
	}
	return noUse
}
