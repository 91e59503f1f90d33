package corpus

// Values that records draw from. They are JSON text: some words have escapes or
// letters beyond ASCII in them.
var (
	regions = []string{
		"us-east-1", "eu-central-1", "us-west-2", "ap-southeast-2", "eu-west-1", "sa-east-1", "us-gov-west-1", "cn-north-1",
	}
	services = []string{
		"AWS Internal", "AWS Internal", "secretsmanager.amazonaws.com", "cloudtrail.amazonaws.com", "s3.amazonaws.com",
		"dynamodb.amazonaws.com", "lambda.amazonaws.com", "ec2.amazonaws.com", "rds.amazonaws.com", "sqs.amazonaws.com", "autoscaling.amazonaws.com",
		"backup.amazonaws.com",
	}
	teams = []string{
		"payments", "ledger", "fraud", "catalog", "search", "identity", "billing", "warehouse", "platform", "mail",
	}
	parts    = []string{"api", "worker", "etl", "batch", "gateway", "export", "sync", "report"}
	roles    = []string{"", "-prod", "-role", "-execution-role", "-task", "-irsa"}
	sessions = []string{
		"i-0$H", "botocore-session-17672$N", "ecs-$H", "sam.okafor@example.com", "i.lindqvist@example.com", "GitHubActions",
		"vault-$N-$H",
	}
	agents = []string{
		"aws-sdk-go-v2/1.41.0 ua/2.1 os/linux lang/go#1.25.4 md/GOOS#linux md/GOARCH#amd64 api/kms#1.49.1 m/E,g,z",
		"Boto3/1.40.61 md/Botocore#1.40.61 ua/2.1 os/linux#6.1.155 md/arch#x86_64 lang/python#3.13.9 md/pyimpl#CPython m/b,Z,D cfg/retry-mode#standard Botocore/1.40.61",
		"aws-sdk-java/2.38.2 md/io#async md/http#NettyNio ua/2.1 os/Linux#5.10.245 lang/java#21.0.9 md/OpenJDK_64-Bit_Server_VM exec-env/AWS_ECS_FARGATE m/D,N",
		"aws-sdk-js/3.922.0 ua/2.1 os/linux#6.12.46 lang/js md/nodejs#22.21.0 api/kms#3.922.0 exec-env/AWS_Lambda_nodejs22.x m/E,q,e",
		"[aws-sdk-java/1.12.793 Linux/4.14.355 OpenJDK_64-Bit_Server_VM/25.472-b08 java/1.8.0_472 vendor/Amazon.com_Inc.]",
		"aws-cli/2.31.30 md/awscrt#0.28.4 ua/2.1 os/macos#25.1.0 md/arch#arm64 lang/python#3.13.9 md/command#kms.describe-key",
		"APN/1.0 HashiCorp/1.0 Terraform/1.13.4 (+https://www.terraform.io) terraform-provider-aws/6.19.0 aws-sdk-go-v2/1.39.5 os/linux api/kms#1.48.1",
		"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
		"vault-plugin/1.21 (linux; amd64) aws-sdk-go/1.55.8",
	}
	tls = []string{
		`"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"$E"}`,
		`"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_256_GCM_SHA384","clientProvidedHostHeader":"$E"}`,
		`"tlsDetails":{"tlsVersion":"TLSv1.2","cipherSuite":"ECDHE-RSA-AES128-GCM-SHA256","clientProvidedHostHeader":"$E"}`,
		`"tlsDetails":{"clientProvidedHostHeader":"$E","tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256"}`,
	}
	words = []string{
		"invoice", "customer-export", "audit", "session-token", "backup of 2025", "pii", "token/refresh", "card", "medical",
		"draft", "mail", "document", "archive", "statement", "user profile", `caf\u00e9`, "Zürich", "données clients",
		"東京支店", `a\/b`, `\"quoted\"`, `tab\tand\\slash`, `key \ud83d\udd11`,
	}
)
