{{- define "coreward.labels" -}}
app.kubernetes.io/name: coreward
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}
{{- /* Whether an offer, by its variable in an expression, has something at stake: pledged units, or units in deals. */}}
{{- define "coreward.staked" -}}
has({{ . }}.status) && ((has({{ . }}.status.commitments) && {{ . }}.status.commitments.active + {{ . }}.status.commitments.pending + {{ . }}.status.commitments.failed > 0) || (has({{ . }}.status.units) && {{ . }}.status.units.serving > 0))
{{- end }}
{{- /* The same in words, with the epoch from which it can go. */}}
{{- define "coreward.stakedWords" -}}
'offer ' + {{ . }}.metadata.name + ' has ' + (has({{ . }}.status.commitments) ? string({{ . }}.status.commitments.active + {{ . }}.status.commitments.pending + {{ . }}.status.commitments.failed) : 'no') + ' commitment(s) and ' + (has({{ . }}.status.units) ? string({{ . }}.status.units.serving) : 'no') + ' unit(s) in deals' + (has({{ . }}.status.commitments) && has({{ . }}.status.commitments.nextEndEpoch) ? '; the next commitment ends in epoch ' + string({{ . }}.status.commitments.nextEndEpoch) : '')
{{- end }}
