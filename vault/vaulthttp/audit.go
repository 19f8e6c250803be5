package vaulthttp

import (
	"encoding/hex"
	"net/http"
	"strconv"

	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/audit"
)

// auditList is [api.AuditList] with the entries of the vault.
type auditList struct {
	Tenant  string         `json:"tenant"`
	Entries []audit.Record `json:"entries"`
	Next    int64          `json:"next,omitzero"`
}

// maxAuditPage is the largest number of entries in a response.
const maxAuditPage = 500

func (c *call) listAudit() error {
	before, err := c.number("before", 1<<62, 0)
	if err != nil {
		return err
	}
	limit, err := c.number("limit", maxAuditPage, 100)
	if err != nil {
		return err
	}
	records, err := c.v.AuditPage(c.ctx, c.scope, before, int(limit))
	if err != nil {
		return err
	}
	answer := auditList{Tenant: c.scope, Entries: records}
	if n := len(records); n > 0 && records[n-1].Seq > 1 {
		answer.Next = records[n-1].Seq
	} else if n == 0 {
		answer.Entries = []audit.Record{}
	}
	return c.send(http.StatusOK, answer)
}

// number returns a query parameter from 1 to most, or def if it is absent.
func (c *call) number(param string, most, def int64) (int64, error) {
	if !c.query.Has(param) {
		return def, nil
	}
	n, err := strconv.ParseInt(c.query.Get(param), 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, requestProblem(http.StatusBadRequest, "Invalid query parameter", param+" must be a number from 1 to "+strconv.FormatInt(most, 10)+".")
	}
	return n, nil
}

func (c *call) verifyAudit() error {
	var body api.VerifyAudit
	if err := c.readBody(&body); err != nil {
		return err
	}
	since, err := sinceOf(&body)
	if err != nil {
		return err
	}
	head, err := c.v.VerifyAudit(c.ctx, c.scope, since, nil)
	if err != nil && broken(err) {
		// The client asked for this finding. It contains the numbers of entries,
		// but none of their content.
		c.log.ErrorContext(c.ctx, "audit chain broken", "tenant", c.scope, "error", err)
		return &refusal{wire.Refusal{
			Type: wire.IntegrityProblem, Title: "The audit chain is broken", Status: http.StatusInternalServerError, Detail: err.Error(),
		}}
	}
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, api.VerifiedChain{Tenant: c.scope, Intact: true, Seq: head.Seq, MAC: hex.EncodeToString(head.MAC[:])})
}

// sinceOf returns the entry that the chain must still have, or nil.
func sinceOf(b *api.VerifyAudit) (*audit.Head, error) {
	switch {
	case b.SinceSeq == nil && b.SinceMAC == nil:
		return nil, nil
	case b.SinceSeq == nil:
		return nil, missing("since_seq")
	case b.SinceMAC == nil:
		return nil, missing("since_mac")
	case *b.SinceSeq < 1:
		return nil, unusable("since_seq", "must be the number of an entry")
	}
	head := &audit.Head{Seq: *b.SinceSeq}
	if mac, err := hex.DecodeString(*b.SinceMAC); err != nil || len(mac) != len(head.MAC) {
		return nil, unusable("since_mac", "must be 64 hexadecimal digits")
	} else {
		copy(head.MAC[:], mac)
	}
	return head, nil
}
