package static

import "strings"

// MediaType returns the Content-Type for a file name: by its last extension,
// without case; application/octet-stream where none is known. Text carries
// charset=utf-8. The table is built in, so that every server of a site answers the
// same whatever its distribution installed (IANA media types registry).
func MediaType(name string) string {
	if slash := strings.LastIndexByte(name, '/'); slash >= 0 {
		name = name[slash+1:]
	}
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return "application/octet-stream"
	}
	if t, ok := mediaTypes[strings.ToLower(name[dot+1:])]; ok {
		return t
	}
	return "application/octet-stream"
}

var mediaTypes = map[string]string{
	"html": "text/html; charset=utf-8", "htm": "text/html; charset=utf-8",
	"xhtml": "application/xhtml+xml",
	"css":   "text/css; charset=utf-8",
	"js":    "text/javascript; charset=utf-8", "mjs": "text/javascript; charset=utf-8",
	"txt": "text/plain; charset=utf-8", "text": "text/plain; charset=utf-8", "log": "text/plain; charset=utf-8",
	"md":  "text/markdown; charset=utf-8",
	"csv": "text/csv; charset=utf-8", "tsv": "text/tab-separated-values; charset=utf-8",
	"ics": "text/calendar; charset=utf-8", "vcf": "text/vcard; charset=utf-8",
	"vtt": "text/vtt; charset=utf-8",
	"xml": "text/xml; charset=utf-8", "xsl": "text/xml; charset=utf-8",
	"json": "application/json", "map": "application/json", "jsonld": "application/ld+json",
	"geojson":     "application/geo+json",
	"webmanifest": "application/manifest+json",
	"rss":         "application/rss+xml; charset=utf-8", "atom": "application/atom+xml; charset=utf-8",
	"yaml": "application/yaml", "yml": "application/yaml", "toml": "application/toml",
	"wasm": "application/wasm", "pdf": "application/pdf", "rtf": "application/rtf",
	"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif",
	"webp": "image/webp", "avif": "image/avif", "jxl": "image/jxl", "heic": "image/heic",
	"svg": "image/svg+xml; charset=utf-8", "svgz": "image/svg+xml", "ico": "image/vnd.microsoft.icon",
	"bmp": "image/bmp", "tif": "image/tiff", "tiff": "image/tiff", "apng": "image/apng",
	"woff": "font/woff", "woff2": "font/woff2", "ttf": "font/ttf", "otf": "font/otf", "ttc": "font/collection",
	"eot": "application/vnd.ms-fontobject",
	"mp3": "audio/mpeg", "ogg": "audio/ogg", "oga": "audio/ogg", "opus": "audio/ogg", "wav": "audio/wav",
	"flac": "audio/flac", "m4a": "audio/mp4", "aac": "audio/aac", "weba": "audio/webm", "mid": "audio/midi",
	"mp4": "video/mp4", "m4v": "video/mp4", "webm": "video/webm", "ogv": "video/ogg", "mov": "video/quicktime",
	"avi": "video/x-msvideo", "mkv": "video/matroska", "mpeg": "video/mpeg", "mpg": "video/mpeg",
	"m3u8": "application/vnd.apple.mpegurl", "mpd": "application/dash+xml", "ts": "video/mp2t",
	"zip": "application/zip", "gz": "application/gzip", "tgz": "application/gzip", "bz2": "application/x-bzip2",
	"xz": "application/x-xz", "zst": "application/zstd", "br": "application/x-brotli", "7z": "application/x-7z-compressed",
	"tar": "application/x-tar", "rar": "application/vnd.rar", "jar": "application/java-archive",
	"deb": "application/vnd.debian.binary-package", "rpm": "application/x-rpm", "iso": "application/x-iso9660-image",
	"apk": "application/vnd.android.package-archive", "dmg": "application/x-apple-diskimage",
	"epub": "application/epub+zip", "doc": "application/msword", "xls": "application/vnd.ms-excel",
	"ppt":  "application/vnd.ms-powerpoint",
	"docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	"xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	"pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	"odt":  "application/vnd.oasis.opendocument.text", "ods": "application/vnd.oasis.opendocument.spreadsheet",
	"odp": "application/vnd.oasis.opendocument.presentation",
	"ps":  "application/postscript", "eps": "application/postscript",
	"swf": "application/x-shockwave-flash", "sqlite": "application/vnd.sqlite3",
	"asc": "application/pgp-signature", "sig": "application/pgp-signature",
	"crt": "application/x-x509-ca-cert", "pem": "application/x-pem-file", "der": "application/x-x509-ca-cert",
	"torrent": "application/x-bittorrent", "xpi": "application/x-xpinstall",
}
