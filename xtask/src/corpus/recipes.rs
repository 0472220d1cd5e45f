//! The images of the corpus: how each is made, how it is tested, and what an
//! exact closure made by hand came to.

/// An image as people have it: a distribution, packages, an application.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    /// Debian packages, beside the smallest system with apt.
    pub(crate) packages: &'static [&'static str],
    /// Distributions that pip brings, for Debian 12's Python.
    pub(crate) pip: &'static [&'static str],
    /// Packages that npm brings, into `/app`.
    pub(crate) npm: &'static [&'static str],
    /// Files of ours: where, and what.
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// The program and its arguments.
    pub(crate) entrypoint: &'static [&'static str],
    pub(crate) environment: &'static [&'static str],
    /// Arguments of `ounce trim`: the test.
    pub(crate) test: &'static [&'static str],
    /// A program of the host that asks what is no HTTP, by `OUNCE_URL`.
    pub(crate) script: Option<&'static str>,
    /// The most bytes that are held to, traced and proved: what an exact closure
    /// takes that was made by hand of the same packages, by strace and ldd, rounded
    /// up to the digit it was noted with; none where none was made.
    pub(crate) bar: Option<(u64, u64)>,
    /// Whether a run of all leaves it out: it takes minutes, or gigabytes.
    pub(crate) heavy: bool,
}

const NONE: Recipe = Recipe {
    name: "",
    packages: &[],
    pip: &[],
    npm: &[],
    files: &[],
    entrypoint: &[],
    environment: &["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    test: &[],
    script: None,
    bar: None,
    heavy: false,
};

/// As in a container: no daemon, no rights to change owners, nothing to be
/// written but in /tmp.
const NGINX: &str = "\
daemon off;
user root;
pid /tmp/nginx.pid;
error_log stderr;
events {}
http {
    include /etc/nginx/mime.types;
    access_log off;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    server {
        listen 80;
        root /var/www/html;
        index index.nginx-debian.html;
    }
}
";

const FLASK: &str = "\
from flask import Flask, jsonify, render_template_string

app = Flask(__name__)


@app.get('/')
def index():
    return render_template_string('hello {{ name }}', name='world')


@app.get('/json')
def numbers():
    return jsonify(numbers=[1, 2, 3])


if __name__ == '__main__':
    app.run(host='0.0.0.0', port=8080)
";

const EXPRESS: &str = "\
const express = require('express');
const app = express();
app.get('/', (request, response) => response.send('hello world'));
app.get('/json', (request, response) => response.json({numbers: [1, 2, 3]}));
app.listen(8080, '0.0.0.0');
";

const NUMBERS: &str = "\
import io
import numpy
import pandas
from sklearn.linear_model import LinearRegression

table = pandas.read_csv(io.StringIO('x,y\\n1,2\\n2,4\\n3,6\\n'))
model = LinearRegression().fit(table[['x']].to_numpy(), table['y'])
print(numpy.round(model.predict(numpy.array([[4.0]])), 3))
print(table.groupby('x').sum().to_json())
";

/// A cluster of its own, in which a table is made, filled and asked.
const POSTGRES: &str = "\
set -e; cd /usr/lib/postgresql/15/bin; \
./initdb -D /tmp/data --no-sync --locale=C.UTF-8 -U postgres > /dev/null; \
echo 'create table t as select generate_series(1, 9) as n; select sum(n) from t' | \
./postgres --single -D /tmp/data postgres";

const TENSORFLOW: &str = "\
import tensorflow

x = tensorflow.constant([[1.0], [2.0], [3.0]])
w = tensorflow.Variable([[1.0]])
with tensorflow.GradientTape() as tape:
    loss = tensorflow.reduce_sum((tensorflow.matmul(x, w) - 2.0 * x) ** 2)
print(float(loss), tape.gradient(loss, w).numpy().tolist())
";

/// Redis speaks lines: set, get, and what it says.
const REDIS: &str = "\
#!/bin/bash
set -eu
address=${OUNCE_URL#http://}
exec 3<>\"/dev/tcp/${address%:*}/${address##*:}\"
printf 'SET key value\\r\\nGET key\\r\\nLPUSH list a b\\r\\nLRANGE list 0 -1\\r\\nPING\\r\\nQUIT\\r\\n' >&3
cat <&3
";

/// All of them, by the time that they take.
pub(crate) const ALL: &[Recipe] = &[
    Recipe {
        name: "busybox",
        packages: &["busybox-static"],
        entrypoint: &["/bin/busybox", "sh", "-c", "echo one two | tr a-z A-Z"],
        ..NONE
    },
    Recipe {
        name: "nginx",
        packages: &["nginx-light"],
        files: &[("app/nginx.conf", NGINX)],
        entrypoint: &["/usr/sbin/nginx", "-c", "/app/nginx.conf"],
        test: &["--http", "/", "-p", "80"],
        bar: Some((9_900_000, 9_900_000)),
        ..NONE
    },
    Recipe {
        name: "redis",
        packages: &["redis-server"],
        entrypoint: &[
            "/usr/bin/redis-server",
            "--protected-mode",
            "no",
            "--save",
            "",
        ],
        test: &["-p", "6379"],
        script: Some(REDIS),
        bar: Some((17_600_000, 17_600_000)),
        ..NONE
    },
    Recipe {
        name: "flask",
        packages: &["python3", "python3-pip"],
        pip: &["flask"],
        files: &[("app/app.py", FLASK)],
        entrypoint: &["/usr/bin/python3", "/app/app.py"],
        test: &["--http", "/", "--http", "/json", "-p", "8080"],
        bar: Some((27_600_000, 15_500_000)),
        ..NONE
    },
    Recipe {
        name: "express",
        packages: &["nodejs"],
        npm: &["express"],
        files: &[("app/server.js", EXPRESS)],
        entrypoint: &["/usr/bin/node", "/app/server.js"],
        test: &["--http", "/", "--http", "/json", "-p", "8080"],
        bar: Some((98_000_000, 98_000_000)),
        ..NONE
    },
    Recipe {
        name: "ruby",
        packages: &["ruby"],
        entrypoint: &[
            "/usr/bin/ruby",
            "-rjson",
            "-rset",
            "-e",
            "puts JSON.generate(Set[1, 2].to_a)",
        ],
        ..NONE
    },
    Recipe {
        name: "php",
        packages: &["php-cli"],
        files: &[(
            "app/index.php",
            "<?php echo json_encode(['hello' => 'world']);\n",
        )],
        entrypoint: &["/usr/bin/php", "-S", "0.0.0.0:8080", "-t", "/app"],
        test: &["--http", "/index.php", "-p", "8080"],
        ..NONE
    },
    Recipe {
        name: "perl",
        packages: &["perl"],
        entrypoint: &[
            "/usr/bin/perl",
            "-MJSON::PP",
            "-MPOSIX",
            "-e",
            "print encode_json([floor(1.5)])",
        ],
        ..NONE
    },
    Recipe {
        name: "java",
        packages: &["openjdk-17-jre-headless", "ca-certificates-java", "rhino"],
        entrypoint: &[
            "/usr/bin/java",
            "-cp",
            "/usr/share/java/js.jar",
            "org.mozilla.javascript.tools.shell.Main",
            "-e",
            "print(JSON.stringify([1, 2, 3].map(String)))",
        ],
        heavy: true,
        ..NONE
    },
    Recipe {
        name: "postgres",
        packages: &["postgresql-15"],
        entrypoint: &["/bin/sh", "-c", POSTGRES],
        test: &["-u", "postgres"],
        heavy: true,
        ..NONE
    },
    Recipe {
        name: "numbers",
        packages: &["python3", "python3-pip"],
        pip: &["numpy", "pandas", "scikit-learn"],
        files: &[("app/main.py", NUMBERS)],
        entrypoint: &["/usr/bin/python3", "/app/main.py"],
        heavy: true,
        ..NONE
    },
    Recipe {
        name: "tensorflow",
        packages: &["python3", "python3-pip"],
        pip: &["tensorflow-cpu"],
        files: &[("app/main.py", TENSORFLOW)],
        entrypoint: &["/usr/bin/python3", "/app/main.py"],
        environment: &[
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TF_CPP_MIN_LOG_LEVEL=3",
            "HOME=/tmp",
        ],
        heavy: true,
        ..NONE
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_has_a_name_of_its_own_and_a_program() {
        let mut names: Vec<_> = ALL.iter().map(|recipe| recipe.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|recipe| !recipe.entrypoint.is_empty()));
    }
}
