package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/satchelhq/satchel/vault/api"
)

// Audit returns a page of a tenant's audit chain, the newest entry first: up to limit
// entries with numbers below before, or the newest of all if before is zero. Limit is
// from 1 to 500; zero means 100. Next of the result is the argument before for the next
// page, or zero on the last page. The caller must administer the whole tenant.
func (c *Client) Audit(ctx context.Context, tenant string, before int64, limit int) (api.AuditList, error) {
	query := url.Values{}
	if before != 0 {
		query.Set("before", strconv.FormatInt(before, 10))
	}
	if limit != 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	var answer api.AuditList
	err := c.ofTenant(ctx, request{
		doing: "reading the audit chain", method: http.MethodGet, path: "/v1/audit", query: query,
		sound: func() bool { return answer.Tenant == tenant && answer.Entries != nil },
	}, tenant, &answer)
	if err != nil {
		return api.AuditList{}, err
	}
	return answer, nil
}

// VerifyAudit makes the platform verify a tenant's complete audit chain, which reads all
// of it: raise the client's Timeout for a long chain. since is an earlier result, or nil:
// the chain must still have its newest entry, unless a trim dropped that. Keep results
// outside the platform's database: nothing else reveals that the end of the chain was
// cut off. The caller must administer the whole tenant.
//
// For a broken chain, the error is an [*Error] with status 500 whose Detail has the place.
func (c *Client) VerifyAudit(ctx context.Context, tenant string, since *api.VerifiedChain) (api.VerifiedChain, error) {
	body := api.VerifyAudit{}
	if since != nil && since.Seq > 0 {
		body.SinceSeq, body.SinceMAC = &since.Seq, &since.MAC
	}
	var answer api.VerifiedChain
	err := c.ofTenant(ctx, request{
		doing: "verifying the audit chain", method: http.MethodPost, path: "/v1/audit/verify", body: body,
		sound: func() bool { return answer.Tenant == tenant && answer.Intact && len(answer.MAC) == 64 },
	}, tenant, &answer)
	if err != nil {
		return api.VerifiedChain{}, err
	}
	return answer, nil
}

// ofTenant sends r for a tenant, whose name it adds to doing.
func (c *Client) ofTenant(ctx context.Context, r request, tenant string, answer any) error {
	if !tenantPattern.MatchString(tenant) {
		return fmt.Errorf("%s of tenant %s: invalid tenant; want the first segment of a scope", r.doing, clip(tenant))
	}
	r.doing += " of tenant " + tenant
	return c.with(ctx, r, "tenant", tenant, answer)
}
