{{- define "keytrail.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "keytrail.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "keytrail.labels" -}}
{{ include "keytrail.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "keytrail.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end }}

{{- /* The name of the Secret, "" for none. */}}
{{- define "keytrail.secret" -}}
{{- if and .Values.existingSecret .Values.secret }}{{ fail "existingSecret and secret are both set; remove one of them" }}{{ end }}
{{- if .Values.existingSecret }}{{ .Values.existingSecret }}{{ else if .Values.secret }}{{ include "keytrail.name" . }}{{ end }}
{{- end }}

{{- /* The configuration: the values', a static member of its groups, and metrics for probes. */}}
{{- define "keytrail.config" -}}
{{- $ours := dict "kafka" (dict "instance_id" "${POD_NAME}") "telemetry" (dict "listen" "0.0.0.0:9464") }}
{{- toYaml (mustMergeOverwrite (deepCopy .Values.config) $ours) }}
{{- end }}

{{- /* 90 % of a quantity of memory, in bytes with the unit that GOMEMLIMIT wants. */}}
{{- define "keytrail.gomemlimit" -}}
{{- $units := dict "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 }}
{{- $unit := regexFind "[kMGTi]+$" . }}
{{- $number := trimSuffix $unit . | int64 }}
{{- $bytes := mul $number (get $units $unit | default 1 | int64) }}
{{- div (mul $bytes 9) 10 }}B
{{- end }}

{{- /* Sources that only one process may read, and that need their checkpoints. */}}
{{- define "keytrail.check" -}}
{{- $stages := .Values.config.stages | default (list "collect") }}
{{- if has "collect" $stages }}
{{- range .Values.config.sources }}
{{- if ne .type "sqs" }}
{{- if gt (int $.Values.replicas) 1 }}{{ fail (printf "config.sources: only one process may read the source %q of type %s: install a release with replicas: 1 and config.stages [collect], and this one without collect" .name .type) }}{{ end }}
{{- if not $.Values.persistence.enabled }}{{ fail (printf "config.sources: the checkpoint of the source %q must survive restarts: set persistence.enabled" .name) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
