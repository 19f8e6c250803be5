package valuecheck

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReference(t *testing.T) {
	known := Context{Known: func(name string) bool { return slices.Contains([]string{"dbuser", "pw2"}, name) }}

	t.Run("is found wherever it is in the value", func(t *testing.T) {
		for _, value := range []string{
			"postgres://${POSTGRES_USER}:${POSTGRES_PASSWORD}@postgres:5432/app",
			"https://${DOMAIN}", "${DOMAIN}", "x${A}y", "${A:-default}", "${A:?missing}", "${A-}", "${!A}", "${env:A}", "${ssm:/app/key}", "${var.db_password}", "${spring.datasource.url}", "a ${A//x/y} b", "${A:-${B}}", "${ A }",
			"$DB_USER", " $DB_USER ", "$user", "$HOME/.ssh/id", "https://$DOMAIN/x", "v$VERSION", "a-$STAGE-b", "$A_B", "postgres://h/$DB", "$user:$pass", "$A$B", "$S3_BUCKET", "$K8S_HOST:1", "$$$NAME", "postgres://$user:$password@host/db", "/srv/$name/x", "$home/x", "x-$db_name", "$dbuser:x1", "ab$pw2",
			"$env:DB_PASSWORD", "x $env:TOKEN y",
			"$(cat /run/secrets/db)", "Bearer $(pass show x)", "$(DB_PASSWORD)", "$((1+2))",
			"`cat key`", "`whoami`", "Bearer `pass show api/key`", "`abc def`", "`X`",
			"${{ secrets.CI_TOKEN }}", "Bearer ${{secrets.CI_TOKEN}}", "${{ format('{0}', secrets.A) }}", "$[[ inputs.token ]]", "$[variables.token]",
			"{{ .Values.key }}", "x{{key}}y", "{{ lookup('env', 'KEY') }}", "{{resolve:secretsmanager:app:SecretString:key}}", "{{\nop://v/i/f\n}}", "<%= ENV['KEY'] %>", "#{DbPassword}", "#{Project.Key}#",
			"%DB_PASS%", "%appdata%", "postgres://%DB_USER%:%DB_PASS%@h", "a%PATH%b", "%env(DATABASE_URL)%", "%(db_pass)s", "{env:DB_PASS}", "x {file:./key}", "@@DB_PASS@@", "__DB_PASS__", "%%DB_PASS%%", "!DB_PASS!", "postgres://u:%{DB_PASS}@h", "<< parameters.token >>", "x<<pipeline.parameters.key>>y", "[[ .Secret.password ]]", `[[ env "KEY" ]]`, "((db-password))", "postgres://u:((db.password))@h",
			"process.env.KEY", "os.environ['KEY']", "os.getenv('KEY')", "env:DB_PASSWORD",
			"op://vault/item/field", "--token op://v/i/f", "vault:secret/data/app#KEY", "vault://secret/app", "ref+vault://secret/app#/key", "ref+awsssm://app/key", "awssm://app", "ssm:/app/key", "ssm:///app/key", "secretref:db-password", "keyring:system/user", "@AzureKeyVault(SecretUri=x)", "secretsmanager:app/key", "sm://project/key", "berglas://b/k", "gcp-secretmanager://p/s", "azurekv://v/s", "keyvault://v/s", "bw://item", "keeper://UID/field/password", "doppler://p/c/KEY", "infisical://x", "k8s://ns/secret/key", "secret://x", "env://KEY",
			"arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-AbCdEf", "arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/app", "projects/p/secrets/s/versions/latest", "projects/p/secrets/s", "aws:secretsmanager:app", "gcp:secretmanager:projects/p/secrets/s",
			"@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/s/)", "https://my-vault.vault.azure.net/secrets/db/0123",
			"@/run/secrets/key", "@./key", "@~/key", "@token.txt", "file:///run/secrets/db",
			"encrypted:BDqDBibm4wsYqMpCjTQ6BsDHmMadg9K3dAt", "ENC[AES256_GCM,data:abc,iv:x]", "ENC(G6N718UuyPE5bHyWKyuLQSm02auQPUtm)", "{cipher}0123456789abcdef", "$ANSIBLE_VAULT;1.1;AES256\n6162",
		} {
			found, ok := Inspect(value, known)
			require.True(t, ok, "%q", value)
			require.Equal(t, Reference, found.Class)
			require.NotEmpty(t, found.Fix)
		}
	})

	t.Run("is not a character of a password", func(t *testing.T) {
		for _, value := range []string{
			"", "$", "$$", "pa$$word", "pa$$WORD", "$1abc", "p@$w0rd", "P@$SW0RD", "p@$word", "pa$word", "a$b", "a$B", "a$T8)b", "a$XY", "$a$1", "{env}", "{a:b}", "@@x@@", "__init__", "cost: $5", "5$", "x$!y", "$-1", "a$ b", "a$(b", "a${b", "a${}b", "a${1}b", "$()", "{x}", "{{}}", "{{ 1 }}", `{"a":{"b":1}}`, `{"$ref":"#/x"}`, `{"$set":{"a":1}}`,
			`a\$HOME`, `a\${HOME}`, "a\\`b\\`", "x`y", "x`Y9`z", "it`s", "``",
			"postgres://app:pa$word@db/app", "postgres://app:p@$w0rd@db/app", "postgres://app:pa$$word@db/app", "postgres://app:p%24ss%C3%A9@db",
			"100%", "%", "%%", "50%of50%", "%20abc%20", "%C3%A9", "a%2Fb%2Fc", "%Y-%m-%d", "%s%d%s", "%H%M%S",
			"$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234", "$6$rounds=5000$SALT$abc", "$argon2id$v=19$m=65536,t=3,p=4$SALT$HASH", "$apr1$SALT$abc", "$1$AB3$xyz", "user:$2y$10$AB", "SCRAM-SHA-256$4096:abc$def:ghi",
			"!x!", "!AB!", "%%s%%", "%{}", "<<EOF", "<<x>>", "a << b >> c", "[[1,2],[3,4]]", `[["a"]]`, "[[ -f x ]]", "((", "(())", "((1+2))", "secretref:", "pass:hunter2", "hunter2", "sk-ant-api03-abc", "ghp_abc", "a@b.example", "@bcdef", "@b/c", "@home", "ops://x", "vault:abc", "vaulting", "file:./dev.db", "file:///var/lib/app.db", "op:/x", "https://op.example/x", "https://vault.example.com/secrets/x", "arn:aws:iam::123456789012:role/x", "arn:aws:s3:::bucket", "projects/p", "ENCORE", "encrypted:no", "env:", "environment", "#{", "#channel", "<b>", "<%",
			"-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n", "eyJhbGciOiJIUzI1NiJ9.e30.abc", "redis://localhost:6379/0", "Server=db;Password=a$1;",
		} {
			found, ok := Inspect(value, known)
			require.False(t, ok, "%q %s", value, found.Reason)
		}
	})

	t.Run("is not expanded in text that is marked as literal", func(t *testing.T) {
		literal := Context{Literal: true, Known: known.Known}
		for _, value := range []string{"pa$WORD", "a${B}c", "$HOME/x", "$NAME", "a $(b) c", "`whoami`", "x%PATH%y", "$dbuser:1"} {
			_, ok := Inspect(value, literal)
			require.False(t, ok, "%q", value)
		}
		for _, value := range []string{"${NAME}", "%NAME%", "${{ secrets.A }}", "x {{ a }} y", "op://v/i/f", "vault:secret/data/x#k"} {
			_, ok := Inspect(value, literal)
			require.True(t, ok, "%q", value)
		}
	})

	t.Run("is described without the value", func(t *testing.T) {
		for _, value := range []string{"pw-canary$CANARY", "${CANARY}", "`canary`", "op://canary/canary", "{{ canary }}"} {
			found, ok := Inspect(value, Context{})
			require.True(t, ok)
			require.NotContains(t, strings.ToLower(found.Reason+found.Fix), "canary")
		}
	})
}

func TestRefersTo(t *testing.T) {
	for _, value := range []string{"$A_B", "x${A_B}y", "${A_B:-z}", "${!A_B}", "$(A_B)", "$env:A_B", "%A_B%", "$A_B:$C"} {
		require.True(t, RefersTo(value, "A_B"), "%q", value)
	}
	for _, value := range []string{"A_B", "$A_BC", "${A_BC}", "$A", "%A_BC%", "${X:-A_B}"} {
		require.False(t, RefersTo(value, "A_B"), "%q", value)
	}
}
