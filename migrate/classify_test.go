package migrate

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/bundle"
)

// Parts of values that look generated, concatenated so that secret scanners ignore
// this file.
const (
	hex40  = "0f1e2d3c4b5a69788796a5b4c3d2e1f001234567"
	mixed  = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9v"
	digits = "0123456789"
)

func TestClassify(t *testing.T) {
	t.Run("decides by name and value", func(t *testing.T) {
		for _, row := range []struct {
			name, value string
			want        Class
		}{
			// Known forms are secrets under any name.
			{"A", "sk-" + mixed, ClassSecret},
			{"A", "sk-ant-api03-" + mixed, ClassSecret},
			{"PORT", "sk_" + "live_" + mixed, ClassSecret},
			{"A", "ghp_" + mixed, ClassSecret},
			{"A", "github_pat_" + mixed, ClassSecret},
			{"A", "glpat-" + mixed, ClassSecret},
			{"A", "AKIA" + "ABCDEFGHIJKLMNOP", ClassSecret},
			{"A", "xoxb-" + digits + "-" + mixed, ClassSecret},
			{"A", "rnt_" + strings.Repeat("a", 61), ClassSecret},
			{"A", "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n", ClassSecret},
			{"A", "eyJhbGciOiJIUzI1NiJ9.e30.abc", ClassSecret},
			{"DATABASE_URL", "postgres://user:pass@db/app", ClassSecret},
			{"DATABASE_URL", "postgres://user:p%ss@db:5432/app", ClassSecret},
			{"DATABASE_HOST", "https://" + mixed + "@sentry.example.com/1", ClassSecret},
			{"A", "Server=db;Password=abc;", ClassSecret},
			{"LOG_LEVEL", "Bearer abcdef", ClassSecret},
			{"A", `{"type":"service_account","private_key":"x"}`, ClassSecret},

			// So are names that suggest a secret, and unclear entries.
			{"DB_PASSWORD", "production", ClassSecret},
			{"DB_PASSWORD", "localhost", ClassSecret},
			{"apiKey", "letmein", ClassSecret},
			{"SIGNING_KEY_2", "letmein", ClassSecret},
			{"STRIPE_WEBHOOK", "https://example.com/a", ClassSecret},
			{"LOGIN_PIN", "123456", ClassSecret},
			{"SOMETHING", "letmein", ClassSecret},
			{"SOMETHING", "1234567", ClassSecret},
			{"SOMETHING", hex40, ClassSecret},
			{"LOG_LEVEL", hex40, ClassSecret},
			{"DATA_DIR", "/" + mixed, ClassSecret},
			{"SOMETHING", "/AbCdEfGhIjKl", ClassSecret},
			{"SLACK", "https://hooks.slack.com/services/T00/B00/abc", ClassSecret},
			{"ALERTS", "https://example.com/x/" + mixed, ClassSecret},
			{"ALERTS", "https://example.com/x?sig=1", ClassSecret},
			{"ALERTS", "https://example.com/x#abc", ClassSecret},
			{"SOMETHING", "correct horse battery staple", ClassSecret},
			{"DB_USER", "administrator", ClassSecret},
			{"A_PASSWORD", "changeme2024", ClassSecret},
			{"A_PASSWORD", "password", ClassSecret},
			{"A_PASSWORD", "secret", ClassSecret},
			{"A_PASSWORD", "my-secret-password", ClassSecret},
			{"A_PASSWORD", "example1", ClassSecret},

			// Settings must be certain.
			{"PORT", "8080", ClassSetting},
			{"SOMETHING", "8080", ClassSetting},
			{"DEBUG", "true", ClassSetting},
			{"DEBUG", "1", ClassSetting},
			{"LOG_LEVEL", "info", ClassSetting},
			{"NODE_ENV", "production", ClassSetting},
			{"APP_ENV", "eu-blue", ClassSetting},
			{"TIMEOUT", "30s", ClassSetting},
			{"CACHE", "512MiB", ClassSetting},
			{"RATIO", "0.75", ClassSetting},
			{"APP_VERSION", "v1.12.3", ClassSetting},
			{"DB_HOST", "db.internal.example.com:5432", ClassSetting},
			{"BIND_ADDR", "127.0.0.1:8080", ClassSetting},
			{"AWS_REGION", "eu-central-1", ClassSetting},
			{"API_URL", "https://api.example.com/v1", ClassSetting},
			{"REDIS_URL", "redis://localhost:6379/0", ClassSetting},
			{"DATA_DIR", "./data/cache", ClassSetting},
			{"CONFIG_FILE", "/etc/app/config.yaml", ClassSetting},
			{"TZ", "Europe", ClassSetting},

			// Placeholders must be replaced.
			{"API_KEY", "", ClassPlaceholder},
			{"API_KEY", "  ", ClassPlaceholder},
			{"API_KEY", "changeme", ClassPlaceholder},
			{"API_KEY", "change-me", ClassPlaceholder},
			{"API_KEY", "CHANGE_ME", ClassPlaceholder},
			{"API_KEY", "<your key>", ClassPlaceholder},
			{"API_KEY", "<ghp_...>", ClassPlaceholder},
			{"API_KEY", "your-api-key-here", ClassPlaceholder},
			{"API_KEY", "xxx", ClassPlaceholder},
			{"API_KEY", "XXXXXXXXXXXXXXXX", ClassPlaceholder},
			{"API_KEY", "****", ClassPlaceholder},
			{"API_KEY", "...", ClassPlaceholder},
			{"API_KEY", "sk-xxxxxxxx", ClassPlaceholder},
			{"API_KEY", "sk-your-key", ClassPlaceholder},
			{"API_KEY", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", ClassPlaceholder},
			{"API_KEY", "example", ClassPlaceholder},
			{"API_KEY", "example-token", ClassPlaceholder},
			{"API_KEY", "TODO", ClassPlaceholder},
			{"API_KEY", "null", ClassPlaceholder},

			// References are no values, under any name and wherever they are.
			{"API_KEY", "${VAR}", ClassReference},
			{"API_KEY", "$OTHER_VAR", ClassReference},
			{"API_KEY", "{{ .Values.key }}", ClassReference},
			{"DATASOURCE", "postgres://${POSTGRES_USER}:${POSTGRES_PASSWORD}@postgres:5432/app", ClassReference},
			{"SITEURL", "https://${DOMAIN}", ClassReference},
			{"CI_TOKEN", "${{ secrets.CI_TOKEN }}", ClassReference},
			{"A", "op://vault/item/field", ClassReference},
			{"A_PASSWORD", "`pass show db`", ClassReference},
			{"PATH", "/opt/bin:$PATH", ClassReference},
			{"A_PASSWORD", "p@$w0rd", ClassSecret},
			{"A_PASSWORD", "pa$$word", ClassSecret},
			{"A_PASSWORD", "$1abcd", ClassSecret},

			{"API_KEY", "abc", ClassShort},
			{"API_KEY", " abc12 ", ClassShort},
			{"SOMETHING", "admin", ClassShort},

			{"SATCHEL_RUNNER_TOKEN", "rnt_" + strings.Repeat("a", 61), ClassRunner},
			{"SATCHEL_API_URL", "https://example.com", ClassRunner},
			{"LD_PRELOAD", "./library", ClassName},
			{"PATH", "/bin:/usr/bin", ClassName},
			{"HTTPS_PROXY", "http://user:password@proxy:3128", ClassName},
			{"NODE_OPTIONS", "--inspect", ClassName},
			{"GIT_SSH_COMMAND", "ssh -i key", ClassName},
			{"ELECTRON_RUN_AS_NODE", "1", ClassName},
			{"REQUESTS_CA_BUNDLE", "/etc/ca.pem", ClassName},
			{"BIG", strings.Repeat("x", admin.MaxValue+1), ClassUnusable},
		} {
			e := Entry{Name: row.name, Value: bundle.NewValue(row.value)}
			found, ok := fixed(e)
			if !ok {
				found = classify(e, nil)
			}
			require.Equal(t, row.want, found.class, "%s with %.40q: %s", row.name, row.value, found.reason)
			require.NotEmpty(t, found.reason, "every class has a reason")
		}
	})

	t.Run("treats a generated value as a secret under any name", func(t *testing.T) {
		for _, name := range []string{"PORT", "DEBUG", "LOG_LEVEL", "NODE_ENV", "DB_HOST", "API_URL", "DATA_DIR", "TZ", "X"} {
			for _, value := range []string{hex40, mixed, hex40 + "=", "p_" + mixed, strings.ToUpper(hex40)} {
				require.Equal(t, ClassSecret, classify(Entry{Name: name, Value: bundle.NewValue(value)}, nil).class, "%s with %s", name, value)
			}
		}
	})
}
