.output /dev/null
SET autoinstall_known_extensions = false;
LOAD '/opt/duckdb/httpfs.duckdb_extension';
CREATE SECRET objects (TYPE s3, ENDPOINT 'objects:9000', URL_STYLE 'path', USE_SSL false);
.output
